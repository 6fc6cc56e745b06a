// What `cloudflare:workers` gives the tests: the bindings of wrangler.toml and the Worker itself.

declare namespace Cloudflare {
  interface Env extends RealEnvironment {}
  interface GlobalProps {
    mainModule: typeof import('../../coordinator/index.ts')
  }
}

type RealEnvironment = import('../../coordinator/objects/environment.ts').Environment
