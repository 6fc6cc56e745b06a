// Small vector helpers. All kernels work on float32 in a memory that belongs to TensorFlow.js: nothing here allocates,
// no global is written, and every scratch buffer is an argument.

/** a * b + c: one fused instruction where the module is built with relaxed SIMD. */
// @ts-ignore: decorator
@inline
export function madd(a: v128, b: v128, c: v128): v128 {
  return ASC_FEATURE_RELAXED_SIMD ? f32x4.relaxed_madd(a, b, c) : f32x4.add(f32x4.mul(a, b), c);
}

// @ts-ignore: decorator
@inline
export function zeros(): v128 {
  return f32x4.splat(0);
}

/** Sum of the four lanes. */
// @ts-ignore: decorator
@inline
export function total(a: v128): f32 {
  return (
    f32x4.extract_lane(a, 0) +
    f32x4.extract_lane(a, 1) +
    (f32x4.extract_lane(a, 2) + f32x4.extract_lane(a, 3))
  );
}

/** The first `count` (1 to 4) floats at `source`, the other lanes 0; reads no further. */
export function loadLanes(source: usize, count: i32): v128 {
  if (count >= 4) return v128.load(source);
  let lanes = v128.load32_zero(source);
  if (count > 1) lanes = f32x4.replace_lane(lanes, 1, load<f32>(source, 4));
  if (count > 2) lanes = f32x4.replace_lane(lanes, 2, load<f32>(source, 8));
  return lanes;
}

/** Writes the first `count` (1 to 4) lanes. */
export function storeLanes(target: usize, lanes: v128, count: i32): void {
  if (count >= 4) {
    v128.store(target, lanes);
    return;
  }
  store<f32>(target, f32x4.extract_lane(lanes, 0));
  if (count > 1) store<f32>(target, f32x4.extract_lane(lanes, 1), 4);
  if (count > 2) store<f32>(target, f32x4.extract_lane(lanes, 2), 8);
}
