// Axes in another order: filters as other programs lay them out.

/** A row-major tensor with its axes in the order given: axis i of the result is axis `order[i]` of the source. */
function reorderAxes(values: Float32Array, shape: readonly number[], order: readonly number[]): Float32Array<ArrayBuffer> {
  const strides = shape.map((_, axis) => shape.slice(axis + 1).reduce((product, size) => product * size, 1))
  const sizes = order.map((axis) => shape[axis] as number)
  const steps = order.map((axis) => strides[axis] as number)
  const result = new Float32Array(values.length)
  const index = sizes.map(() => 0)
  let from = 0
  for (let to = 0; to < result.length; to++) {
    result[to] = values[from] as number
    for (let axis = sizes.length - 1; axis >= 0; axis--) {
      const next = (index[axis] as number) + 1
      from += steps[axis] as number
      if (next < (sizes[axis] as number)) {
        index[axis] = next
        break
      }
      from -= next * (steps[axis] as number)
      index[axis] = 0
    }
  }
  return result
}

export { reorderAxes }
