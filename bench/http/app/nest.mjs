// A Nest app without a database.
export default () => ({});
