// The table of kernel signatures against the sources of the kernels: names, order and number of parameters.

import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'

import { bindKernels, KernelSignatureError, kernelSignatures } from '../../engine/kernels/signatures.ts'

const folder = join(import.meta.dirname, '../../engine/kernels/assembly')

/** Parameter names of every exported function in the sources. */
function declaredParameters(): Map<string, string[]> {
  const declared = new Map<string, string[]>()
  for (const file of readdirSync(folder)) {
    const source = readFileSync(join(folder, file), 'utf8')
    for (const [, name = '', parameters = ''] of source.matchAll(/export function (\w+)\(([^)]*)\)/g)) {
      declared.set(
        name,
        [...parameters.matchAll(/(\w+): /g)].map(([, parameter = '']) => parameter),
      )
    }
  }
  return declared
}

test('the table has every kernel that the module exports, with the parameters of its source in their order', () => {
  const index = readFileSync(join(folder, 'index.ts'), 'utf8')
  const exported = [...index.matchAll(/export \{([^}]*)\}/g)].flatMap(([, names = '']) => names.match(/\w+/g) ?? [])
  const declared = declaredParameters()
  expect(kernelSignatures).toEqual(Object.fromEntries(exported.map((name) => [name, declared.get(name)])))
})

/** Exports that note what they are called with. */
function recordingExports(changed: Record<string, unknown> = {}) {
  const calls: unknown[][] = []
  const exports = Object.entries(kernelSignatures).map(([name, parameters]) => {
    const record = (...values: number[]) => calls.push([name, ...values])
    return [name, Object.defineProperty(record, 'length', { value: parameters.length })]
  })
  return { calls, exports: { ...Object.fromEntries(exports), ...changed } as WebAssembly.Exports }
}

test('a call by name passes each value in its place, whatever the order in which they are named', () => {
  const { calls, exports } = recordingExports()
  const kernels = bindKernels(exports)
  kernels.sum({ out: 3, count: 4, b: 2, a: 1 })
  kernels.dot({ count: 7, b: 6, a: 5 })
  expect(calls).toEqual([
    ['sum', 1, 2, 3, 4],
    ['dot', 5, 6, 7],
  ])
})

test('a module of other sources is refused, the kernel named', () => {
  const missing = recordingExports({ sum: undefined })
  expect(() => bindKernels(missing.exports)).toThrow('expected the compiled kernels to export sum of 4 parameters, got none')
  const other = recordingExports({ dot: (a: number, b: number) => a + b })
  expect(() => bindKernels(other.exports)).toThrow(KernelSignatureError)
  expect(() => bindKernels(other.exports)).toThrow('dot of 3 parameters, got one of 2')
})
