import * as tf from '@tensorflow/tfjs-core'
import { expect, test } from 'vitest'

import { BackendUnavailableError, backendNames, openBackend } from '../../engine/backends/backends.ts'

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
