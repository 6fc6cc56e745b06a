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

/** A box of a weight: where it begins on each axis, and its sizes. */
type Box = { readonly begin: Dimensions; readonly size: Dimensions }

const product = (sizes: Dimensions) => sizes.reduce((sum, size) => sum * size, 1)

/** The box that a part is. Throws RangeError where the weight has no such part. */
function boxOf(whole: Dimensions, part: Dimensions): Box {
  const begin = sliceBegin(whole, part)
  if (!begin) throw new RangeError(`a weight of shape [${whole}] has no part of shape [${part}]`)
  return { begin, size: part }
}

/** Calls `visit` for each row of a box, in order: where it begins among the values of the weight, row-major, and its length. */
function visitRows(whole: Dimensions, { begin, size }: Box, visit: (from: number, length: number) => void): void {
  const length = size.at(-1) ?? 1
  const rows = product(size) / Math.max(1, length)
  const strides = whole.map((_, axis) => product(whole.slice(axis + 1)))
  const last = size.length - 1
  for (let row = 0; row < rows; row++) {
    let rest = row
    let from = begin[last] ?? 0
    for (let axis = last - 1; axis >= 0; axis--) {
      const extent = size[axis] as number
      from += ((rest % extent) + (begin[axis] as number)) * (strides[axis] as number)
      rest = Math.floor(rest / extent)
    }
    visit(from, length)
  }
}

/** The values of a part, row-major. Throws RangeError where the weight has no such part. */
function sliceValues(values: Float32Array, whole: Dimensions, part: Dimensions): Float32Array<ArrayBuffer> {
  const out = new Float32Array(product(part))
  let at = 0
  visitRows(whole, boxOf(whole, part), (from, length) => {
    out.set(values.subarray(from, from + length), at)
    at += length
  })
  return out
}

/** The smallest part that has both of two parts in it. */
function joinParts(one: Dimensions, other: Dimensions): number[] {
  return one.map((size, axis) => Math.max(size, other[axis] as number))
}

/** Where the same parts lie, `within`, by their indices: at least one. */
type Cell = Box & { readonly within: readonly number[] }

/** Cuts a weight at the borders of its parts. What lies in no part is left out. */
function cellsOf(whole: Dimensions, parts: readonly Dimensions[]): Cell[] {
  const boxes = parts.map((part) => boxOf(whole, part))
  let cells: Cell[] = [{ begin: [], size: [], within: boxes.map((_, index) => index) }]
  for (const axis of whole.keys()) {
    const borders = boxes.flatMap(({ begin, size }) => [begin[axis] as number, (begin[axis] as number) + (size[axis] as number)])
    const cuts = [...new Set(borders)].sort((a, b) => a - b)
    cells = cells.flatMap(({ begin, size, within }) =>
      cuts.slice(1).flatMap((end, i): Cell[] => {
        const from = cuts[i] as number
        const inside = within.filter((index) => {
          const box = boxes[index] as Box
          return (box.begin[axis] as number) <= from && end <= (box.begin[axis] as number) + (box.size[axis] as number)
        })
        return inside.length > 0 ? [{ begin: [...begin, from], size: [...size, end - from], within: inside }] : []
      }),
    )
  }
  return cells
}

export { type Box, boxOf, type Cell, cellsOf, type Dimensions, isWhole, joinParts, sliceBegin, sliceValues, visitRows }
