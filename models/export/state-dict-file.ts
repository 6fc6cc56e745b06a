// safetensors files as PyTorch users have them: float32 weights beside int64 counters. Read and framed by protocol/safetensors.ts, like
// all others.

import { frameSafetensors, readLayout, SafetensorsError, sourceOf } from '../../protocol/index.ts'

const BYTES_PER_ELEMENT = { F32: 4, I64: 8 }

type StateTensor = { readonly shape: readonly number[]; readonly values: Float32Array | BigInt64Array }
type FloatTensor = { readonly shape: readonly number[]; readonly values: Float32Array }

class StateDictError extends Error {
  override readonly name = 'StateDictError'
  readonly code = 'state-dict'
}

/** 8-byte values come first, so that every tensor is aligned. */
function encodeStateDict(tensors: ReadonlyMap<string, StateTensor>, metadata: Readonly<Record<string, string>>): Uint8Array {
  const entries = [...tensors].sort(([, a], [, b]) => b.values.BYTES_PER_ELEMENT - a.values.BYTES_PER_ELEMENT)
  const header: Record<string, unknown> = { __metadata__: metadata }
  let offset = 0
  for (const [name, { shape, values }] of entries) {
    const dtype = values instanceof Float32Array ? 'F32' : 'I64'
    header[name] = { dtype, shape, data_offsets: [offset, offset + values.byteLength] }
    offset += values.byteLength
  }
  return frameSafetensors(
    header,
    offset,
    entries.map(([, { values }]) => new Uint8Array(values.buffer, values.byteOffset, values.byteLength)),
  )
}

/** Float32 tensors by name; int64 ones, which are counters, are left out. Throws StateDictError. */
function decodeStateDict(bytes: Uint8Array): Map<string, FloatTensor> {
  const tensors = new Map<string, FloatTensor>()
  for (const [name, { dtype, shape, begin, end }] of layoutOf(bytes).tensors) {
    if (dtype === 'I64') continue
    // A copy: the bytes of the file need not be aligned.
    tensors.set(name, { shape, values: new Float32Array(new Uint8Array(bytes.subarray(begin, end)).buffer) })
  }
  return tensors
}

function layoutOf(bytes: Uint8Array) {
  try {
    return readLayout(sourceOf(bytes), BYTES_PER_ELEMENT)
  } catch (error) {
    throw error instanceof SafetensorsError ? new StateDictError(`expected a safetensors file: ${error.message}`) : error
  }
}

export { decodeStateDict, encodeStateDict, type FloatTensor, StateDictError, type StateTensor }
