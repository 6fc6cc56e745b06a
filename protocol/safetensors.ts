// The safetensors format: 8 bytes little-endian header length, a JSON header, raw row-major bytes. Parsed once, with
// every bound checked, into views of the buffer; nothing is copied for F32 that is aligned.
// Format: huggingface/safetensors, README "Format". What BF16 and I8 keep of numbers is in rounding.ts; beside a tensor
// `<key>` of I8 the file has its scale, one F32 number, as `<key>.scale`.

import * as z from 'zod'
import { elementCount } from '../search-space/index.ts'
import { type Dtype, fromBfloat16, fromInt8, int8Scale, toBfloat16, toInt8 } from './rounding.ts'

const MAX_HEADER_BYTES = 8 * 1024 * 1024
const LENGTH_BYTES = 8
const HEADER_ALIGNMENT = 8
const SCALE_SUFFIX = '.scale'
const bytesPerElement = { F32: 4, BF16: 2, I8: 1 } as const satisfies Record<Dtype, number>

type Tensor = {
  readonly shape: readonly number[]
  readonly values: Float32Array
  /** Of a tensor that was read from I8, as the file has it: any float32. `values` are multiplied with it already. */
  readonly scale?: number
}

type SafetensorsFile = {
  readonly metadata: Readonly<Record<string, string>>
  readonly tensors: ReadonlyMap<string, Tensor>
}

const dimension = z.int().min(0).max(Number.MAX_SAFE_INTEGER)
const headerSchema = z.record(z.string(), z.unknown())
const metadataSchema = z.record(z.string(), z.string())
const tensorInfoSchema = z.strictObject({
  dtype: z.string(),
  shape: z.array(dimension).max(8),
  data_offsets: z.tuple([dimension, dimension]),
})

/** The file is not safetensors as this module writes them; the message says where. */
class SafetensorsError extends Error {
  override readonly name = 'SafetensorsError'
  readonly code = 'safetensors'
}

/** The file up to its data: length, JSON, spaces to a multiple of 8 bytes. */
function frameHeader(header: Record<string, unknown>): Uint8Array<ArrayBuffer> {
  const json = new TextEncoder().encode(JSON.stringify(header))
  const headerBytes = Math.ceil(json.length / HEADER_ALIGNMENT) * HEADER_ALIGNMENT
  const bytes = new Uint8Array(LENGTH_BYTES + headerBytes).fill(0x20)
  new DataView(bytes.buffer).setBigUint64(0, BigInt(headerBytes), true)
  bytes.set(json, LENGTH_BYTES)
  return bytes
}

/** Header and `dataBytes` bytes of data, taken one part after the other, so that no more than one need be made at a time. */
function frameSafetensors(header: Record<string, unknown>, dataBytes: number, parts: Iterable<Uint8Array>): Uint8Array<ArrayBuffer> {
  const head = frameHeader(header)
  const bytes = new Uint8Array(head.byteLength + dataBytes)
  bytes.set(head)
  let at = head.byteLength
  for (const part of parts) {
    bytes.set(part, at)
    at += part.byteLength
  }
  return bytes
}

const bytesOf = (data: Float32Array | Uint16Array | Int8Array) => new Uint8Array(data.buffer, data.byteOffset, data.byteLength)

/** Scales of all tensors that have one, first in the file, where they are aligned. */
function scalesOf({ tensors }: SafetensorsFile, dtype: Dtype): ReadonlyMap<string, number> {
  if (dtype !== 'I8') return new Map()
  return new Map([...tensors].map(([key, { values }]) => [key, int8Scale(values)]))
}

function* dataOf({ tensors }: SafetensorsFile, dtype: Dtype, scales: ReadonlyMap<string, number>): Generator<Uint8Array> {
  for (const scale of scales.values()) yield bytesOf(Float32Array.of(scale))
  for (const [key, { values }] of tensors) {
    yield bytesOf(dtype === 'F32' ? values : dtype === 'BF16' ? toBfloat16(values) : toInt8(values, scales.get(key) ?? 0))
  }
}

type Encoded = { readonly header: Record<string, unknown>; readonly dataBytes: number; readonly data: Iterable<Uint8Array> }

function encodeParts(file: SafetensorsFile, dtype: Dtype): Encoded {
  const header: Record<string, unknown> = { __metadata__: file.metadata }
  const scales = scalesOf(file, dtype)
  let offset = 0
  const add = (key: string, entry: { dtype: Dtype; shape: readonly number[] }) => {
    const end = offset + elementCount(entry.shape) * bytesPerElement[entry.dtype]
    header[key] = { ...entry, data_offsets: [offset, end] }
    offset = end
  }
  for (const key of scales.keys()) {
    const name = `${key}${SCALE_SUFFIX}`
    if (file.tensors.has(name)) throw new SafetensorsError(`tensor ${name} has the name of the scale of tensor ${key}`)
    add(name, { dtype: 'F32', shape: [] })
  }
  for (const [key, { shape }] of file.tensors) add(key, { dtype, shape })
  return { header, dataBytes: offset, data: dataOf(file, dtype, scales) }
}

/** One file, little-endian as every platform that runs this. Throws SafetensorsError where the name of a scale is taken. */
function encodeSafetensors(file: SafetensorsFile, dtype: Dtype): Uint8Array<ArrayBuffer> {
  const { header, dataBytes, data } = encodeParts(file, dtype)
  return frameSafetensors(header, dataBytes, data)
}

/** The same file part by part, tensor after tensor: each is made when it is asked for, so that no more than one is held. */
function* safetensorsParts(file: SafetensorsFile, dtype: Dtype): Generator<Uint8Array> {
  const { header, data } = encodeParts(file, dtype)
  yield frameHeader(header)
  yield* data
}

function parseHeader(bytes: Uint8Array): Record<string, unknown> {
  try {
    return headerSchema.parse(JSON.parse(new TextDecoder().decode(bytes)))
  } catch {
    throw new SafetensorsError('expected the header to be a JSON object')
  }
}

/** Parsed header: where each tensor lies, in bytes from the beginning of the file. */
type TensorPlace<Type extends string> = {
  readonly dtype: Type
  readonly shape: readonly number[]
  readonly begin: number
  readonly end: number
}
type FileLayout<Tensor> = {
  readonly metadata: Readonly<Record<string, string>>
  readonly tensors: ReadonlyMap<string, Tensor>
}
type TensorLayout = TensorPlace<Dtype> & {
  /** Where the scale of an I8 tensor begins. */
  readonly scaleAt?: number
}
type SafetensorsLayout = FileLayout<TensorLayout>

/** A file that need not be in memory as a whole. */
type ByteSource = {
  readonly byteLength: number
  /** Bytes from `begin` up to `end`. */
  read(begin: number, end: number): Uint8Array
}

function sourceOf(bytes: Uint8Array): ByteSource {
  return { byteLength: bytes.byteLength, read: (begin, end) => bytes.subarray(begin, end) }
}

/**
 * Where the tensors of any safetensors file lie, of types that have `sizes` bytes per element. Throws SafetensorsError unless every byte
 * of the data belongs to exactly one tensor. Reads the header alone.
 */
function readLayout<Type extends string>(source: ByteSource, sizes: Readonly<Record<Type, number>>): FileLayout<TensorPlace<Type>> {
  const types = Object.keys(sizes) as Type[]
  const { byteLength } = source
  if (byteLength < LENGTH_BYTES) throw new SafetensorsError(`expected at least ${LENGTH_BYTES} bytes, got ${byteLength}`)
  const length = source.read(0, LENGTH_BYTES)
  const headerBytes = new DataView(length.buffer, length.byteOffset, LENGTH_BYTES).getBigUint64(0, true)
  if (headerBytes > BigInt(Math.min(MAX_HEADER_BYTES, byteLength - LENGTH_BYTES))) {
    throw new SafetensorsError(`the header claims ${headerBytes} bytes, more than there are or than ${MAX_HEADER_BYTES}`)
  }
  const dataStart = LENGTH_BYTES + Number(headerBytes)
  const { __metadata__, ...entries } = parseHeader(source.read(LENGTH_BYTES, dataStart))
  const metadata = metadataSchema.safeParse(__metadata__ ?? {})
  if (!metadata.success) throw new SafetensorsError('expected __metadata__ to map strings to strings')
  const dataBytes = byteLength - dataStart
  const infos = Object.entries(entries).map(([key, entry]) => {
    const info = tensorInfoSchema.safeParse(entry)
    if (!info.success) throw new SafetensorsError(`tensor ${key}: expected a dtype, a shape and two data_offsets`)
    const dtype = types.find((type) => type === info.data.dtype)
    if (dtype === undefined)
      throw new SafetensorsError(
        `tensor ${key}: expected dtype ${types.slice(0, -1).join(', ')} or ${types.at(-1)}, got ${info.data.dtype}`,
      )
    return { key, ...info.data, dtype }
  })
  // An empty tensor begins where the next one does.
  infos.sort((a, b) => a.data_offsets[0] - b.data_offsets[0] || a.data_offsets[1] - b.data_offsets[1])
  const tensors = new Map<string, TensorPlace<Type>>()
  let expectedBegin = 0
  for (const { key, dtype, shape, data_offsets } of infos) {
    const [begin, end] = data_offsets
    const wanted = elementCount(shape) * sizes[dtype]
    if (begin !== expectedBegin || end - begin !== wanted || end > dataBytes) {
      throw new SafetensorsError(`tensor ${key}: expected ${wanted} bytes from ${expectedBegin} on, got ${begin} to ${end} of ${dataBytes}`)
    }
    expectedBegin = end
    tensors.set(key, { dtype, shape, begin: dataStart + begin, end: dataStart + end })
  }
  if (expectedBegin !== dataBytes) throw new SafetensorsError(`expected ${expectedBegin} bytes of data, got ${dataBytes}`)
  return { metadata: metadata.data, tensors }
}

/** Of what this module writes. Throws SafetensorsError unless every tensor lies, without gap or overlap, within the bytes. */
function readSafetensorsLayout(source: ByteSource): SafetensorsLayout {
  const { metadata, tensors } = readLayout(source, bytesPerElement)
  return { metadata, tensors: withScales(tensors) }
}

/** Tensors without those that are scales of others. */
function withScales(tensors: ReadonlyMap<string, TensorPlace<Dtype>>): ReadonlyMap<string, TensorLayout> {
  const found = new Map<string, TensorLayout>(tensors)
  for (const [key, layout] of tensors) {
    if (layout.dtype !== 'I8') continue
    const name = `${key}${SCALE_SUFFIX}`
    const scale = tensors.get(name)
    if (scale?.dtype !== 'F32' || elementCount(scale.shape) !== 1) {
      throw new SafetensorsError(`tensor ${key}: expected its scale, one F32 number, as tensor ${name}`)
    }
    found.delete(name)
    found.set(key, { ...layout, scaleAt: scale.begin })
  }
  return found
}

/** As the file has it: any float32. Undefined for a tensor that is not I8. */
function readTensorScale(source: ByteSource, { scaleAt }: TensorLayout): number | undefined {
  if (scaleAt === undefined) return undefined
  const bytes = source.read(scaleAt, scaleAt + bytesPerElement.F32)
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength).getFloat32(0, true)
}

/** Values of one tensor; a view of the source's bytes where they are float32 and aligned. */
function readTensorValues(source: ByteSource, layout: TensorLayout): Float32Array {
  const { dtype, begin, end } = layout
  const bytes = source.read(begin, end)
  const size = bytesPerElement[dtype]
  const aligned = bytes.byteOffset % size === 0
  // Not slice(), which of a Buffer is no copy.
  const buffer = aligned ? bytes.buffer : new Uint8Array(bytes).buffer
  const offset = aligned ? bytes.byteOffset : 0
  const length = (end - begin) / size
  switch (dtype) {
    case 'F32':
      return new Float32Array(buffer, offset, length)
    case 'BF16':
      return fromBfloat16(new Uint16Array(buffer, offset, length))
    case 'I8':
      return fromInt8(new Int8Array(buffer, offset, length), readTensorScale(source, layout) ?? Number.NaN)
    default:
      return dtype satisfies never
  }
}

function readTensor(source: ByteSource, layout: TensorLayout): Tensor {
  const scale = readTensorScale(source, layout)
  const tensor = { shape: layout.shape, values: readTensorValues(source, layout) }
  return scale === undefined ? tensor : { ...tensor, scale }
}

/** Throws SafetensorsError unless every tensor lies, without gap or overlap, within the bytes. */
function decodeSafetensors(bytes: Uint8Array): SafetensorsFile {
  const source = sourceOf(bytes)
  const { metadata, tensors } = readSafetensorsLayout(source)
  return {
    metadata,
    tensors: new Map([...tensors].map(([key, layout]) => [key, readTensor(source, layout)])),
  }
}

export {
  type ByteSource,
  decodeSafetensors,
  encodeSafetensors,
  frameSafetensors,
  readLayout,
  readSafetensorsLayout,
  readTensor,
  readTensorValues,
  SafetensorsError,
  type SafetensorsFile,
  type SafetensorsLayout,
  safetensorsParts,
  sourceOf,
  type Tensor,
}
