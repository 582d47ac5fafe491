import eslint from '@eslint/js';
import prettier from 'eslint-config-prettier';
import tseslint from 'typescript-eslint';

export default tseslint.config(
  { ignores: ['dist', 'example/dist', 'coverage', 'reports', '.stryker-tmp'] },
  eslint.configs.recommended,
  {
    files: ['**/*.ts'],
    extends: [...tseslint.configs.recommendedTypeChecked],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      '@typescript-eslint/consistent-type-imports': [
        'error',
        { fixStyle: 'separate-type-imports', disallowTypeAnnotations: false },
      ],
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_', varsIgnorePattern: '^_' }],
      '@typescript-eslint/no-floating-promises': 'error',
      '@typescript-eslint/switch-exhaustiveness-check': [
        'error',
        { considerDefaultExhaustiveForUnions: true },
      ],
      // An async method without await turns what it throws into a rejection, which its interface promises.
      '@typescript-eslint/require-await': 'off',
      eqeqeq: 'error',
      'no-warning-comments': 'error',
    },
  },
  {
    files: ['**/*.ts'],
    ignores: ['test/package-nest11/consumer/**'],
    rules: {
      'no-restricted-syntax': [
        'error',
        { selector: 'ImportSpecifier[importKind="type"]', message: 'Write a separate `import type`.' },
      ],
    },
  },
  {
    // Not in tests and the example: the controllers and services there are written as those of an app.
    files: ['src/**/*.ts'],
    ignores: ['**/*.spec.ts'],
    rules: {
      'no-restricted-syntax': [
        'error',
        { selector: 'ImportSpecifier[importKind="type"]', message: 'Write a separate `import type`.' },
        {
          selector:
            ':matches(PropertyDefinition, MethodDefinition, TSParameterProperty)[accessibility="private"]',
          message: 'Write `#name`: it is private at run time too.',
        },
      ],
    },
  },
  {
    files: ['**/*.spec.ts', 'test/**/*.ts'],
    rules: {
      // Tests pass wrong values on purpose, and read bodies of HTTP and rows of SQL, which are `any`.
      '@typescript-eslint/no-explicit-any': 'off',
      '@typescript-eslint/no-unsafe-assignment': 'off',
      '@typescript-eslint/no-unsafe-member-access': 'off',
      '@typescript-eslint/no-unsafe-argument': 'off',
      '@typescript-eslint/no-unsafe-call': 'off',
      '@typescript-eslint/no-unsafe-return': 'off',
      // `expect(object.method)` and `jest.spyOn` name methods without calling them.
      '@typescript-eslint/unbound-method': 'off',
    },
  },
  {
    // Its types are those of packages that its own lock file names and the checkout does not hold.
    files: ['test/package-nest11/consumer/**/*.ts'],
    extends: [tseslint.configs.disableTypeChecked],
    rules: {
      '@typescript-eslint/no-require-imports': 'off',
      // It would make type imports of injected classes: it does not see their decorators' metadata.
      '@typescript-eslint/consistent-type-imports': 'off',
    },
  },
  {
    files: ['**/*.mjs', '**/*.cjs'],
    languageOptions: {
      globals: {
        process: 'readonly',
        console: 'readonly',
        URL: 'readonly',
        AbortController: 'readonly',
        module: 'writable',
      },
    },
  },
  prettier,
);
