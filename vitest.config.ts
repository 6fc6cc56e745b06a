import { availableParallelism } from 'node:os'
import { cloudflareTest } from '@cloudflare/vitest-plugin'
import { defineConfig } from 'vitest/config'
import { slowUnitTestFiles } from './test/slow-unit-tests.ts'
import { STRIPPED } from './test/strip-sources.ts'

/** Tests with real processes: they start coordinators, agents and browsers. */
const E2E_TIMEOUT_MS = 180_000
const UNIT_TIMEOUT_MS = 60_000
/** Requests of the short form of `npm run fuzz`, which says others by these names in the environment; a fixed seed, since a test is no lottery. */
const FUZZ = { requests: Number(process.env['FUZZ_REQUESTS'] ?? 200), seed: Number(process.env['FUZZ_SEED'] ?? 1) }
const WORKERD_TIMEOUT_MS = 30_000
const TEST_ADMIN_TOKEN = 'admin-token-of-the-tests-0123456789'
/** Tests are refused a lot. */
const TEST_REFUSALS = { namespace_id: '1717', simple: { limit: 1_000_000, period: 60 } } as const

// wrangler.toml names this secret as required, and the plugin looks for it here.
process.env['ADMIN_TOKEN'] ??= TEST_ADMIN_TOKEN

const unit = {
  globalSetup: ['test/build-kernels.ts'],
  testTimeout: UNIT_TIMEOUT_MS,
  hookTimeout: UNIT_TIMEOUT_MS,
  provide: { fuzz: FUZZ },
}

export default defineConfig({
  test: {
    // By default one core is left to whoever watches: on two, files would come one after the other, and half of the machine do nothing.
    maxWorkers: Math.max(2, availableParallelism()),
    projects: [
      // One process for many files: the fast ones leave nothing behind, and starting anew for each takes longer than they do.
      { test: { ...unit, name: 'unit', include: ['test/unit/**/*.test.ts'], exclude: slowUnitTestFiles(), isolate: false } },
      {
        test: {
          ...unit,
          name: 'slow',
          isolate: false,
          include: slowUnitTestFiles(),
          globalSetup: [...unit.globalSetup, 'test/strip-sources.ts'],
          env: STRIPPED,
        },
      },
      {
        plugins: [
          cloudflareTest({
            wrangler: { configPath: './wrangler.toml' },
            miniflare: { bindings: { ADMIN_TOKEN: TEST_ADMIN_TOKEN, LOG_REQUESTS: 'failures' }, ratelimits: { REFUSALS: TEST_REFUSALS } },
          }),
        ],
        test: {
          name: 'workerd',
          include: ['test/workerd/**/*.test.ts'],
          testTimeout: WORKERD_TIMEOUT_MS,
          provide: { fuzz: FUZZ },
        },
      },
      {
        test: {
          name: 'e2e',
          include: ['test/e2e/**/*.test.ts'],
          globalSetup: ['test/build-kernels.ts', 'test/strip-sources.ts'],
          env: STRIPPED,
          testTimeout: E2E_TIMEOUT_MS,
          hookTimeout: E2E_TIMEOUT_MS,
        },
      },
    ],
  },
})
