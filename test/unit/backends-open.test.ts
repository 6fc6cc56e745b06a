import { execFileSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import * as tf from '@tensorflow/tfjs-core'
import { describe, expect, test } from 'vitest'

import { BackendUnavailableError, backendNames, openBackend } from '../../engine/backends/backends.ts'
import { chooseAdapter, parseListing } from '../../engine/backends/webgpu-devices.ts'

test('auto opens a backend and says why each better one was not available', async () => {
  const { chosen, rejected } = await openBackend('auto')
  expect(tf.getBackend()).toBe(chosen.name)
  const better = backendNames.slice(0, backendNames.indexOf(chosen.name))
  expect(rejected.map(({ name }) => name)).toEqual(better)
  for (const { reason } of rejected) expect(reason).not.toBe('')
})

test('wasm runs on one thread with SIMD', async () => {
  const { chosen } = await openBackend('wasm')
  expect(chosen.description).toMatch(/SIMD.*1 thread/)
  expect(tf.env().get('WASM_HAS_MULTITHREAD_SUPPORT')).toBe(false)
})

test('opening a backend again makes it the active one', async () => {
  await openBackend('cpu')
  expect(tf.getBackend()).toBe('cpu')
  await openBackend('wasm')
  expect(tf.getBackend()).toBe('wasm')
})

test('a backend that is not there is an error with a code and a reason, not a crash', async () => {
  const missing = openBackend('tensorflow')
  const outcome = await missing.then(
    ({ chosen }) => chosen.name,
    (error: unknown) => error,
  )
  if (outcome === 'tensorflow') return
  expect(outcome).toBeInstanceOf(BackendUnavailableError)
  expect(outcome).toMatchObject({ code: 'backend-unavailable', rejected: [{ name: 'tensorflow' }] })
})

describe('a machine on which TensorFlow finds no GPU but number 1', () => {
  const root = new URL('../../', import.meta.url)
  const openThere = (wanted: string, options: object): { chosen?: string; description?: string; reason?: string } => {
    const script = `
      import { registerHooks } from 'node:module'
      const standIn = ${JSON.stringify(new URL('test/fixtures/tensorflow-stand-in.ts', root).href)}
      registerHooks({ resolve: (name, context, next) => (name === '@tensorflow/tfjs-node-gpu' ? { url: standIn, shortCircuit: true } : next(name, context)) })
      const { openBackend } = await import(${JSON.stringify(new URL('engine/backends/backends.ts', root).href)})
      const said = await openBackend(${JSON.stringify(wanted)}, ${JSON.stringify(options)}).then(
        ({ chosen, rejected }) => ({ chosen: chosen.name, description: chosen.description, reason: rejected[0]?.reason }),
        ({ rejected }) => ({ reason: rejected[0].reason }),
      )
      process.stdout.write(JSON.stringify(said))
      process.exit(0)`
    const { CUDA_VISIBLE_DEVICES: _, ...env } = process.env
    return JSON.parse(
      execFileSync(process.execPath, ['--input-type=module', '-e', script], { env, cwd: fileURLToPath(root), encoding: 'utf8' }),
    )
  }

  test('auto leaves it alone, since others use the processor better, and says so', () => {
    const said = openThere('auto', {})
    expect(said.chosen).not.toBe('tensorflow')
    expect(said.reason).toContain('@tensorflow/tfjs-node-gpu finds no GPU here')
  })

  test('a person who names it gets it, and hears what it runs on', () => {
    expect(openThere('tensorflow', {})).toMatchObject({ chosen: 'tensorflow', description: expect.stringContaining('on the processor') })
  })

  test('--device N shows TensorFlow that GPU, and one that is not there is refused', () => {
    expect(openThere('auto', { device: 1 })).toMatchObject({ chosen: 'tensorflow', description: expect.stringContaining('on a GPU') })
    expect(openThere('tensorflow', { device: 0 })).toEqual({ reason: expect.stringContaining('finds no GPU here') })
  })
})

describe('the GPU of a number', () => {
  // As dawn.node 0.6 prints it where no adapter has the name.
  const listing = `no suitable backends found\nAvailable adapters:\n * backend: 'vulkan', name: 'NVIDIA H200'\n * backend: 'vulkan', name: 'Intel(R) Graphics (RPL-S)'\n * backend: 'vulkan', name: 'NVIDIA H200'\n`
  const listed = parseListing(listing)

  test('is the adapter of that place in the list of Dawn', () => {
    expect(listed.map(({ name }) => name)).toEqual(['NVIDIA H200', 'Intel(R) Graphics (RPL-S)', 'NVIDIA H200'])
    expect(chooseAdapter(listed, 1)).toEqual({ kind: 'options', options: ['backend=vulkan', 'adapter=Intel(R) Graphics (RPL-S)'] })
  })
  test('that Dawn cannot tell from another, or that is not there, is refused with the list', () => {
    expect(chooseAdapter(listed, 2)).toEqual({
      kind: 'unavailable',
      reason: expect.stringMatching(/^GPU 2 cannot be told from GPU 0 by its name/),
    })
    expect(chooseAdapter(listed, 3)).toEqual({
      kind: 'unavailable',
      reason: expect.stringMatching(/there is no GPU 3; there are 0 NVIDIA H200 \(vulkan\), 1 Intel/),
    })
    expect(chooseAdapter([], 0)).toEqual({ kind: 'unavailable', reason: 'no graphics driver offers an adapter' })
  })
  test('is nothing that a backend of the processor has', async () => {
    await expect(openBackend('wasm', { device: 0 })).rejects.toThrow('wasm: it computes on the processor, and GPU 0 was asked for')
  })
})
