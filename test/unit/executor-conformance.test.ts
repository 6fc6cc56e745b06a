// One suite for every backend: the same steps must give the numbers that the `cpu` backend gives. `tensorflow` and
// `webgpu` run where they are present; without a graphics card webgpu runs on the SwiftShader of Debian's chromium, in a
// process of its own, because its driver is named by the environment.

import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { beforeAll, describe, expect, test } from 'vitest'

import { type BackendName, openBackend } from '../../engine/backends/backends.ts'
import { type Outcome, runSteps } from './executor-conformance-steps.ts'
import { relativeError } from './kernels-relative-error.ts'

const TOLERANCE = 1e-3
const CHROMIUM_FOLDER = '/usr/lib/chromium'
/** Takes about ten seconds on two cores; a loaded machine may need more. */
const SOFTWARE_GPU_TIMEOUT_MS = 240_000

async function isPresent(name: BackendName): Promise<boolean> {
  return openBackend(name).then(
    () => true,
    () => false,
  )
}

const others = ['wasm', 'webgpu', 'tensorflow'] as const
const present = new Map<BackendName, boolean>()
for (const name of others) present.set(name, await isPresent(name))

function expectAgreement(actual: Outcome, expected: Outcome): void {
  expect(relativeError(actual.numbers, expected.numbers)).toBeLessThan(TOLERANCE)
  expect(Object.keys(actual.weights).sort()).toEqual(Object.keys(expected.weights).sort())
  for (const [key, values] of Object.entries(actual.weights)) {
    const error = relativeError(values, expected.weights[key] as readonly number[])
    expect({ key, agrees: error < TOLERANCE, error }).toMatchObject({ agrees: true })
  }
}

let expected: Outcome

beforeAll(async () => {
  expected = await runSteps('cpu')
}, 60_000)

describe.each(others)('%s conforms to cpu', (name) => {
  test.skipIf(!present.get(name))('in losses, hits, gate gradients and trained weights', { timeout: 240_000 }, async () => {
    expectAgreement(await runSteps(name), expected)
  })
})

const driver = join(CHROMIUM_FOLDER, 'vk_swiftshader_icd.json')
const hasSoftwareGpu = existsSync(driver)
if (!present.get('webgpu') && !hasSoftwareGpu) {
  process.stderr.write(`SKIPPED: webgpu is not tested, there is neither a graphics card nor ${driver} (Debian's chromium)\n`)
}

test.skipIf(!hasSoftwareGpu)("webgpu on chromium's SwiftShader conforms to cpu", { timeout: SOFTWARE_GPU_TIMEOUT_MS }, async () => {
  const module = new URL('executor-conformance-steps.ts', import.meta.url).href
  const script = `import { runSteps } from '${module}'; process.stdout.write(JSON.stringify(await runSteps('webgpu')), () => process.exit())`
  const env = { ...process.env, VK_ICD_FILENAMES: driver, LD_LIBRARY_PATH: CHROMIUM_FOLDER, NODE_OPTIONS: '' }
  const options = { env, timeout: SOFTWARE_GPU_TIMEOUT_MS, maxBuffer: 2 ** 26 }
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '--eval', script], options)
  expectAgreement(JSON.parse(stdout) as Outcome, expected)
})
