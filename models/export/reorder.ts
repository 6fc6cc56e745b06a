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

/** [kernel, kernel, in, out] to [out, in, kernel, kernel]: PyTorch's and ONNX's layout of a convolution. */
function filterToOihw(values: Float32Array, shape: readonly number[]): Float32Array<ArrayBuffer> {
  return reorderAxes(values, shape, [3, 2, 0, 1])
}

/** [kernel, kernel, channels, 1] to [channels, 1, kernel, kernel]: the same layout, one group per channel. */
function depthwiseToOihw(values: Float32Array, shape: readonly number[]): Float32Array<ArrayBuffer> {
  return reorderAxes(values, shape, [2, 3, 0, 1])
}

export { depthwiseToOihw, filterToOihw, reorderAxes }
