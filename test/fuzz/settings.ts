// How much is tried, and from which seed; vitest.config.ts says it.

import { inject } from 'vitest'

declare module 'vitest' {
  interface ProvidedContext {
    fuzz: { readonly requests: number; readonly seed: number }
  }
}

const fuzzSettings = inject('fuzz')

export { fuzzSettings }
