// What numbers become on the wire. Both ends compute the same: what a sender keeps back as `x − rounded(x)` is exactly what
// the receiver lacks.
//
// bfloat16 is the upper half of a float32, rounded to nearest even. int8 is one scale per tensor and a whole number from
// −127 to 127 per value, x ≈ scale · q with scale ≈ max |x| / 127. The scale has 17 bits of precision, so that q · scale is
// exact in float32: encoding what was decoded gives the same bytes.

import * as z from 'zod'

/** Kinds of numbers in a file, as safetensors calls them. */
type Dtype = 'F32' | 'BF16' | 'I8'

const weightEncodingSchema = z.enum(['fp32', 'bf16', 'int8'])
type WeightEncoding = z.infer<typeof weightEncodingSchema>

/** How differences are pushed, and weights pulled: whole weights in int8 would be too coarse to train with. */
const differenceDtypes = { fp32: 'F32', bf16: 'BF16', int8: 'I8' } as const satisfies Record<WeightEncoding, Dtype>
const weightDtypes = { fp32: 'F32', bf16: 'BF16', int8: 'BF16' } as const satisfies Record<WeightEncoding, Dtype>

const MAX_INT8 = 127
/** Bits of a float32 that a scale does without: 127 has 7. */
const SCALE_DROPPED_BITS = 7
/** A tensor whose scale would be smaller is 0: near the smallest float32 the products would no longer be exact. */
const MIN_SCALE = 2 ** -100

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

function fromBfloat16(halves: Uint16Array): Float32Array<ArrayBuffer> {
  const bits = new Uint32Array(halves.length)
  for (let i = 0; i < halves.length; i++) bits[i] = (halves[i] as number) << 16
  return new Float32Array(bits.buffer)
}

/** Scale of a tensor in int8; NaN where a value is not finite, since a receiver must not take that for a number. */
function int8Scale(values: Float32Array): number {
  let most = 0
  for (let i = 0; i < values.length; i++) {
    const magnitude = Math.abs(values[i] as number)
    if (!(magnitude <= most)) most = magnitude
    // NaN would be compared away by the next value.
    if (Number.isNaN(magnitude)) return Number.NaN
  }
  if (most === Number.POSITIVE_INFINITY) return Number.NaN
  const scale = Float32Array.of(most / MAX_INT8)
  const bits = new Uint32Array(scale.buffer)
  bits[0] = (((bits[0] as number) + (1 << (SCALE_DROPPED_BITS - 1))) >>> SCALE_DROPPED_BITS) << SCALE_DROPPED_BITS
  const rounded = scale[0] as number
  return rounded < MIN_SCALE ? 0 : rounded
}

function toInt8(values: Float32Array, scale: number): Int8Array {
  const out = new Int8Array(values.length)
  if (!(scale > 0)) return out
  for (let i = 0; i < values.length; i++) {
    out[i] = Math.max(-MAX_INT8, Math.min(MAX_INT8, Math.round((values[i] as number) / scale)))
  }
  return out
}

function fromInt8(steps: Int8Array, scale: number): Float32Array<ArrayBuffer> {
  const out = new Float32Array(steps.length)
  for (let i = 0; i < steps.length; i++) out[i] = (steps[i] as number) * scale
  return out
}

/** What bfloat16 keeps of the values. */
function roundToBfloat16(values: Float32Array): Float32Array<ArrayBuffer> {
  return fromBfloat16(toBfloat16(values))
}

/** What int8 keeps of one tensor's values; NaN throughout where one of them is not finite. */
function roundToInt8(values: Float32Array): Float32Array<ArrayBuffer> {
  const scale = int8Scale(values)
  return fromInt8(toInt8(values, scale), scale)
}

/** What the receiver sees of one tensor's differences, in new memory. */
function rounded(encoding: WeightEncoding, values: Float32Array): Float32Array<ArrayBuffer> {
  switch (encoding) {
    case 'fp32':
      return values.slice()
    case 'bf16':
      return roundToBfloat16(values)
    case 'int8':
      return roundToInt8(values)
    default:
      return encoding satisfies never
  }
}

export {
  differenceDtypes,
  type Dtype,
  fromBfloat16,
  fromInt8,
  int8Scale,
  rounded,
  roundToBfloat16,
  roundToInt8,
  toBfloat16,
  toInt8,
  weightDtypes,
  type WeightEncoding,
  weightEncodingSchema,
}
