// Weights that are used by parts: operations of different kernels or widths may share one tensor, of which each reads what it needs
// (Guo et al. 2020, Stamoulis et al. 2019: kernels; Wan et al. 2020, FBNetV2: channels). A smaller kernel is the middle of a
// larger one, fewer channels are the first of more. What a layer reads has the shape that its settings ask for
// (layers/), so a slice is nothing but a weight whose spec in the space is larger.

type Dimensions = readonly number[]

const KERNEL_AXES = 2
const FILTER_RANK = 4

/** Whether a part is the whole. */
function isWhole(whole: Dimensions, part: Dimensions): boolean {
  return whole.length === part.length && whole.every((size, axis) => size === part[axis])
}

/**
 * Where a part of a weight begins on each axis; null where the weight has no such part: another rank, something larger, or a kernel
 * without a middle of that size.
 */
function sliceBegin(whole: Dimensions, part: Dimensions): number[] | null {
  if (whole.length !== part.length) return null
  const begin = whole.map((size, axis) => {
    const left = size - (part[axis] as number)
    if (whole.length !== FILTER_RANK || axis >= KERNEL_AXES) return left < 0 ? Number.NaN : 0
    return left < 0 || left % 2 !== 0 ? Number.NaN : left / 2
  })
  return begin.some(Number.isNaN) ? null : begin
}

/** The values of a part, row-major. Throws RangeError where the weight has no such part. */
function sliceValues(values: Float32Array, whole: Dimensions, part: Dimensions): Float32Array {
  const begin = sliceBegin(whole, part)
  if (!begin) throw new RangeError(`a weight of shape [${whole}] has no part of shape [${part}]`)
  const strides = whole.map((_, axis) => whole.slice(axis + 1).reduce((product, size) => product * size, 1))
  const out = new Float32Array(part.reduce((product, size) => product * size, 1))
  const last = part.at(-1) ?? 1
  for (let row = 0; row < out.length; row += last) {
    let rest = row
    let from = 0
    for (let axis = part.length - 1; axis >= 0; axis--) {
      const size = part[axis] as number
      from += ((rest % size) + (begin[axis] as number)) * (strides[axis] as number)
      rest = Math.floor(rest / size)
    }
    out.set(values.subarray(from, from + last), row)
  }
  return out
}

export { isWhole, sliceBegin, sliceValues }
