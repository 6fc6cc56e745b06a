// What `cloudflare:workers` gives the tests: the bindings of wrangler.toml and the Worker itself.

declare namespace Cloudflare {
  interface Env extends RealEnvironment {}
  interface GlobalProps {
    mainModule: typeof import('../../coordinator/index.ts')
  }
}

type RealEnvironment = import('../../coordinator/objects/environment.ts').Environment

/** What tests of the programs in Node use of it here; the runtime has it under `nodejs_compat`, which the test runner sets. */
declare module 'node:util' {
  function isDeepStrictEqual(a: unknown, b: unknown): boolean
}
