/**
 * Words before a parenthesis that call no function of the app: keywords, and types with a modifier such as `numeric(10, 2)`. Most are
 * reserved, or no function can be called by them. `like`, `ilike`, `join`, `cube` and `rollup` can be names of functions as well.
 */
const KEYWORDS = `
  all and any array as asymmetric between bit case cast char character coalesce cube current_time current_timestamp dec
  decimal distinct else except exists extract float from greatest group grouping having ilike in intersect interval
  join json_array json_arrayagg json_exists json_object json_objectagg json_query json_scalar json_serialize
  json_table json_value lateral least like limit localtime localtimestamp nchar normalize not
  nullif numeric offset on or overlay position rollup row select some
  substring symmetric then time timestamp to treat trim union using values varchar when where with
  xmlconcat xmlelement xmlexists xmlforest xmlparse xmlpi xmlroot xmlserialize`;

/**
 * Functions of PostgreSQL that read their arguments, tables, or the clock, and nothing of the session but its settings. Most are
 * immutable or stable; `random` and the like are volatile without an effect.
 */
const FUNCTIONS = `
  any_value array_agg avg bit_and bit_or bit_xor bool_and bool_or corr count covar_pop covar_samp cume_dist dense_rank every
  first_value json_agg json_agg_strict json_object_agg jsonb_agg jsonb_agg_strict jsonb_object_agg lag last_value lead max
  min mode nth_value ntile percent_rank percentile_cont percentile_disc range_agg range_intersect_agg rank regr_avgx
  regr_avgy regr_count regr_intercept regr_r2 regr_slope regr_sxx regr_sxy regr_syy row_number stddev stddev_pop
  stddev_samp string_agg sum var_pop var_samp variance xmlagg

  abs acos acosd asin asind atan atan2 atan2d atand cbrt ceil ceiling cos cosd cosh cot cotd degrees div erf erfc exp
  factorial floor gamma gcd lcm lgamma ln log log10 min_scale mod pi power pow radians random random_normal round scale sign
  sin sind sinh sqrt tan tand tanh trim_scale trunc width_bucket

  ascii bit_count bit_length btrim casefold char_length character_length chr concat concat_ws convert convert_from
  convert_to crc32 crc32c decode encode format get_bit get_byte initcap left length lower lpad ltrim md5 octet_length
  parse_ident quote_ident quote_literal quote_nullable regexp_count regexp_instr regexp_like regexp_match regexp_matches
  regexp_replace regexp_split_to_array regexp_split_to_table regexp_substr repeat replace reverse right rpad rtrim set_bit
  set_byte sha224 sha256 sha384 sha512 split_part starts_with string_to_array string_to_table strpos substr to_ascii to_bin
  to_char to_hex to_number to_oct translate unicode_assigned unistr upper

  age clock_timestamp date_add date_bin date_part date_subtract date_trunc isfinite justify_days justify_hours
  justify_interval make_date make_interval make_time make_timestamp make_timestamptz now overlaps statement_timestamp
  timeofday timezone to_date to_timestamp transaction_timestamp

  gen_random_uuid uuid_extract_timestamp uuid_extract_version uuidv4 uuidv7

  array_append array_cat array_dims array_fill array_length array_lower array_ndims array_position array_positions
  array_prepend array_remove array_replace array_reverse array_sample array_shuffle array_sort array_to_string array_upper
  cardinality trim_array unnest

  array_to_json json_array_elements json_array_elements_text json_array_length json_build_array json_build_object json_each
  json_each_text json_extract_path json_extract_path_text json_object_keys json_populate_record json_populate_recordset
  json_strip_nulls json_to_record json_to_recordset json_typeof jsonb_array_elements jsonb_array_elements_text
  jsonb_array_length jsonb_build_array jsonb_build_object jsonb_each jsonb_each_text jsonb_extract_path
  jsonb_extract_path_text jsonb_insert jsonb_object jsonb_object_keys jsonb_path_exists jsonb_path_exists_tz
  jsonb_path_match jsonb_path_match_tz jsonb_path_query jsonb_path_query_array jsonb_path_query_array_tz
  jsonb_path_query_first jsonb_path_query_first_tz jsonb_path_query_tz jsonb_populate_record jsonb_populate_recordset
  jsonb_pretty jsonb_set jsonb_set_lax jsonb_strip_nulls jsonb_to_record jsonb_to_recordset jsonb_typeof row_to_json to_json
  to_jsonb

  daterange int4multirange int4range int8multirange int8range isempty lower_inc lower_inf multirange nummultirange numrange
  range_merge tsmultirange tsrange tstzmultirange tstzrange upper_inc upper_inf datemultirange

  array_to_tsvector numnode phraseto_tsquery plainto_tsquery querytree setweight strip to_tsquery to_tsvector ts_delete
  ts_filter ts_headline ts_rank ts_rank_cd tsquery_phrase tsvector_to_array websearch_to_tsquery

  abbrev broadcast family host hostmask inet_merge inet_same_family masklen netmask network set_masklen macaddr8_set7bit

  area bound_box box center circle diagonal diameter height isclosed isopen line lseg npoints path pclose point polygon
  popen radius slope width

  enum_first enum_last enum_range generate_series generate_subscripts num_nonnulls num_nulls

  col_description current_database current_setting format_type has_column_privilege has_database_privilege
  has_schema_privilege has_sequence_privilege has_table_privilege obj_description pg_column_size pg_database_size
  pg_encoding_to_char pg_get_constraintdef pg_get_expr pg_get_indexdef pg_get_serial_sequence pg_get_userbyid
  pg_get_viewdef pg_has_role pg_indexes_size pg_is_in_recovery pg_postmaster_start_time pg_relation_size pg_size_bytes
  pg_size_pretty pg_table_is_visible pg_table_size pg_total_relation_size pg_type_is_visible pg_typeof shobj_description
  to_regclass to_regtype version`;

/** Functions of PostgreSQL whose call changes neither data nor the session. */
export const HARMLESS_FUNCTIONS: ReadonlySet<string> = new Set(FUNCTIONS.trim().split(/\s+/));

/** Words that may come before a parenthesis in a statement that only reads. */
export const HARMLESS_BEFORE_PARENTHESIS: ReadonlySet<string> = new Set([
  ...KEYWORDS.trim().split(/\s+/),
  ...HARMLESS_FUNCTIONS,
]);

/**
 * Words that are keywords before a parenthesis only after one of these tokens: `count(*) FILTER (WHERE …)`. After any other token,
 * they may call a function of the app of that name.
 */
export const HARMLESS_AFTER: ReadonlyMap<string, readonly string[]> = new Map([
  ['by', ['group', 'order', 'partition']],
  ['filter', [')']],
  ['materialized', ['as', 'not']],
  ['over', [')']],
  ['sets', ['grouping']],
  ['varying', ['bit', 'char', 'character', 'nchar']],
]);
