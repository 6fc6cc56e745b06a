// The safetensors format: 8 bytes little-endian header length, a JSON header, raw row-major bytes. Parsed once, with
// every bound checked, into views of the buffer; nothing is copied for F32 that is aligned.
// Format: huggingface/safetensors, README "Format". BF16 is the upper half of a float32, rounded to nearest even.

import * as z from 'zod'
import { elementCount } from '../../search-space/index.ts'

const MAX_HEADER_BYTES = 8 * 1024 * 1024
const LENGTH_BYTES = 8
const HEADER_ALIGNMENT = 8
const bytesPerElement = { F32: 4, BF16: 2 } as const
type Dtype = keyof typeof bytesPerElement

type Tensor = { readonly shape: readonly number[]; readonly values: Float32Array }

type SafetensorsFile = {
  readonly metadata: Readonly<Record<string, string>>
  readonly tensors: ReadonlyMap<string, Tensor>
}

const dimension = z.int().min(0).max(Number.MAX_SAFE_INTEGER)
const headerSchema = z.record(z.string(), z.unknown())
const metadataSchema = z.record(z.string(), z.string())
const tensorInfoSchema = z.strictObject({
  dtype: z.enum(['F32', 'BF16']),
  shape: z.array(dimension).max(8),
  data_offsets: z.tuple([dimension, dimension]),
})

/** The file is not safetensors as this module writes them; the message says where. */
class SafetensorsError extends Error {
  override readonly name = 'SafetensorsError'
  readonly code = 'safetensors'
}

/** float32 to bfloat16 bits, round to nearest even; NaN stays NaN. */
function toBfloat16(values: Float32Array): Uint16Array {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length)
  const out = new Uint16Array(values.length)
  for (let i = 0; i < bits.length; i++) {
    const word = bits[i] as number
    const isNan = (word & 0x7fffffff) > 0x7f800000
    out[i] = isNan ? (word >>> 16) | 0x40 : (word + 0x7fff + ((word >>> 16) & 1)) >>> 16
  }
  return out
}

function fromBfloat16(halves: Uint16Array): Float32Array {
  const bits = new Uint32Array(halves.length)
  for (let i = 0; i < halves.length; i++) bits[i] = (halves[i] as number) << 16
  return new Float32Array(bits.buffer)
}

/** Header and `dataBytes` bytes of data, taken one part after the other, so that no more than one need be made at a time. */
function frameSafetensors(header: Record<string, unknown>, dataBytes: number, parts: Iterable<Uint8Array>): Uint8Array<ArrayBuffer> {
  const json = new TextEncoder().encode(JSON.stringify(header))
  const headerBytes = Math.ceil(json.length / HEADER_ALIGNMENT) * HEADER_ALIGNMENT
  const bytes = new Uint8Array(LENGTH_BYTES + headerBytes + dataBytes)
  new DataView(bytes.buffer).setBigUint64(0, BigInt(headerBytes), true)
  bytes.fill(0x20, LENGTH_BYTES, LENGTH_BYTES + headerBytes)
  bytes.set(json, LENGTH_BYTES)
  let at = LENGTH_BYTES + headerBytes
  for (const part of parts) {
    bytes.set(part, at)
    at += part.byteLength
  }
  return bytes
}

function* dataOf({ tensors }: SafetensorsFile, dtype: Dtype): Generator<Uint8Array> {
  for (const { values } of tensors.values()) {
    const data = dtype === 'F32' ? values : toBfloat16(values)
    yield new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
  }
}

/** One file, little-endian as every platform that runs this. */
function encodeSafetensors(file: SafetensorsFile, dtype: Dtype): Uint8Array<ArrayBuffer> {
  const header: Record<string, unknown> = { __metadata__: file.metadata }
  let offset = 0
  for (const [key, tensor] of file.tensors) {
    const end = offset + tensor.values.length * bytesPerElement[dtype]
    header[key] = { dtype, shape: tensor.shape, data_offsets: [offset, end] }
    offset = end
  }
  return frameSafetensors(header, offset, dataOf(file, dtype))
}

function parseHeader(text: string): Record<string, unknown> {
  try {
    return headerSchema.parse(JSON.parse(text))
  } catch {
    throw new SafetensorsError('expected the header to be a JSON object')
  }
}

/** Parsed header: where each tensor lies, in bytes from the beginning of the file. */
type TensorLayout = { readonly dtype: Dtype; readonly shape: readonly number[]; readonly begin: number; readonly end: number }
type SafetensorsLayout = {
  readonly metadata: Readonly<Record<string, string>>
  readonly tensors: ReadonlyMap<string, TensorLayout>
}

/** A file that need not be in memory as a whole. */
type ByteSource = {
  readonly byteLength: number
  /** Bytes from `begin` up to `end`. */
  read(begin: number, end: number): Uint8Array
}

function sourceOf(bytes: Uint8Array): ByteSource {
  return { byteLength: bytes.byteLength, read: (begin, end) => bytes.subarray(begin, end) }
}

/** Throws SafetensorsError unless every tensor lies, without gap or overlap, within the bytes. Reads the header alone. */
function readSafetensorsLayout(source: ByteSource): SafetensorsLayout {
  const { byteLength } = source
  if (byteLength < LENGTH_BYTES) throw new SafetensorsError(`expected at least ${LENGTH_BYTES} bytes, got ${byteLength}`)
  const length = source.read(0, LENGTH_BYTES)
  const headerBytes = new DataView(length.buffer, length.byteOffset, LENGTH_BYTES).getBigUint64(0, true)
  if (headerBytes > BigInt(Math.min(MAX_HEADER_BYTES, byteLength - LENGTH_BYTES))) {
    throw new SafetensorsError(`the header claims ${headerBytes} bytes, more than there are or than ${MAX_HEADER_BYTES}`)
  }
  const dataStart = LENGTH_BYTES + Number(headerBytes)
  const { __metadata__, ...entries } = parseHeader(new TextDecoder().decode(source.read(LENGTH_BYTES, dataStart)))
  const metadata = metadataSchema.safeParse(__metadata__ ?? {})
  if (!metadata.success) throw new SafetensorsError('expected __metadata__ to map strings to strings')
  const dataBytes = byteLength - dataStart
  const infos = Object.entries(entries).map(([key, entry]) => {
    const info = tensorInfoSchema.safeParse(entry)
    if (!info.success) throw new SafetensorsError(`tensor ${key}: expected dtype F32 or BF16, a shape and two data_offsets`)
    return { key, ...info.data }
  })
  // An empty tensor begins where the next one does.
  infos.sort((a, b) => a.data_offsets[0] - b.data_offsets[0] || a.data_offsets[1] - b.data_offsets[1])
  const tensors = new Map<string, TensorLayout>()
  let expectedBegin = 0
  for (const { key, dtype, shape, data_offsets } of infos) {
    const [begin, end] = data_offsets
    const wanted = elementCount(shape) * bytesPerElement[dtype]
    if (begin !== expectedBegin || end - begin !== wanted || end > dataBytes) {
      throw new SafetensorsError(`tensor ${key}: expected ${wanted} bytes from ${expectedBegin} on, got ${begin} to ${end} of ${dataBytes}`)
    }
    expectedBegin = end
    tensors.set(key, { dtype, shape, begin: dataStart + begin, end: dataStart + end })
  }
  if (expectedBegin !== dataBytes) throw new SafetensorsError(`expected ${expectedBegin} bytes of data, got ${dataBytes}`)
  return { metadata: metadata.data, tensors }
}

/** Values of one tensor; a view of the source's bytes where they are float32 and aligned. */
function readTensorValues(source: ByteSource, { dtype, begin, end }: TensorLayout): Float32Array {
  const bytes = source.read(begin, end)
  const size = bytesPerElement[dtype]
  const aligned = bytes.byteOffset % size === 0
  const buffer = aligned ? bytes.buffer : bytes.slice().buffer
  const offset = aligned ? bytes.byteOffset : 0
  const length = (end - begin) / size
  return dtype === 'F32' ? new Float32Array(buffer, offset, length) : fromBfloat16(new Uint16Array(buffer, offset, length))
}

/** Throws SafetensorsError unless every tensor lies, without gap or overlap, within the bytes. */
function decodeSafetensors(bytes: Uint8Array): SafetensorsFile {
  const source = sourceOf(bytes)
  const { metadata, tensors } = readSafetensorsLayout(source)
  return {
    metadata,
    tensors: new Map([...tensors].map(([key, layout]) => [key, { shape: layout.shape, values: readTensorValues(source, layout) }])),
  }
}

export {
  type ByteSource,
  decodeSafetensors,
  type Dtype,
  encodeSafetensors,
  frameSafetensors,
  fromBfloat16,
  readSafetensorsLayout,
  readTensorValues,
  SafetensorsError,
  type SafetensorsFile,
  type SafetensorsLayout,
  sourceOf,
  type Tensor,
  toBfloat16,
}
