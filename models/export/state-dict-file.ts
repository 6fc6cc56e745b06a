// safetensors files as PyTorch users have them: float32 weights beside int64 counters. (What travels between agents and
// coordinator has one type per file and a stricter reader, protocol/safetensors.ts.)
// Format: huggingface/safetensors, README "Format".

import * as z from 'zod'
import { frameSafetensors } from '../../protocol/index.ts'

const LENGTH_BYTES = 8
const FLOAT_BYTES = 4
const MAX_HEADER_BYTES = 64 * 1024 * 1024

type StateTensor = { readonly shape: readonly number[]; readonly values: Float32Array | BigInt64Array }
type FloatTensor = { readonly shape: readonly number[]; readonly values: Float32Array }

class StateDictError extends Error {
  override readonly name = 'StateDictError'
  readonly code = 'state-dict'
}

const entrySchema = z.object({
  dtype: z.string(),
  shape: z.array(z.int().min(0)),
  data_offsets: z.tuple([z.int().min(0), z.int().min(0)]),
})
const headerSchema = z.record(z.string(), z.unknown())

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

function parseHeader(bytes: Uint8Array): { header: Record<string, unknown>; dataStart: number } {
  if (bytes.byteLength < LENGTH_BYTES) throw new StateDictError(`expected at least ${LENGTH_BYTES} bytes, got ${bytes.byteLength}`)
  const length = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength).getBigUint64(0, true)
  if (length > BigInt(Math.min(MAX_HEADER_BYTES, bytes.byteLength - LENGTH_BYTES))) {
    throw new StateDictError('expected a safetensors file; its first 8 bytes are not the length of a header within it')
  }
  const dataStart = LENGTH_BYTES + Number(length)
  try {
    return { header: headerSchema.parse(JSON.parse(new TextDecoder().decode(bytes.subarray(LENGTH_BYTES, dataStart)))), dataStart }
  } catch {
    throw new StateDictError('expected a safetensors file; its header is not a JSON object')
  }
}

/** Float32 tensors by name; int64 ones, which are counters, are left out. Throws StateDictError. */
function decodeStateDict(bytes: Uint8Array): Map<string, FloatTensor> {
  const { header, dataStart } = parseHeader(bytes)
  const tensors = new Map<string, FloatTensor>()
  for (const [name, entry] of Object.entries(header)) {
    if (name === '__metadata__') continue
    const parsed = entrySchema.safeParse(entry)
    if (!parsed.success) throw new StateDictError(`tensor ${name}: expected dtype, shape and data_offsets`)
    const { dtype, shape, data_offsets: offsets } = parsed.data
    if (dtype === 'I64') continue
    if (dtype !== 'F32') throw new StateDictError(`tensor ${name}: expected dtype F32, got ${dtype}`)
    const [begin, end] = offsets
    const wanted = shape.reduce((product, size) => product * size, FLOAT_BYTES)
    if (end - begin !== wanted || dataStart + end > bytes.byteLength) {
      throw new StateDictError(`tensor ${name}: expected ${wanted} bytes within the file, got ${begin} to ${end}`)
    }
    // A copy: the bytes of the file need not be aligned.
    const copy = new Uint8Array(bytes.subarray(dataStart + begin, dataStart + end))
    tensors.set(name, { shape, values: new Float32Array(copy.buffer) })
  }
  return tensors
}

export { decodeStateDict, encodeStateDict, type FloatTensor, StateDictError, type StateTensor }
