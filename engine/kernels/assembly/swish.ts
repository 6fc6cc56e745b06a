// x σ(x), σ(x) = 1 / (1 + exp(-x)), and its gradient σ(x) (1 + x (1 - σ(x))), each in one pass.

import { madd } from './simd';
import { read, write } from './normalised';

/** Below, exp would be smaller than normal numbers of float32: σ is 1 then. Above, 2^n is infinite: σ is 0. */
const LEAST: f32 = -87.3;
const MOST: f32 = 89;
const LOG2_E: f32 = 1.44269504088896341;
/** ln 2 in two parts, of which n times the first is exact. */
const LN2_HIGH: f32 = 0.693359375;
const LN2_LOW: f32 = -2.12194440e-4;
/** Of 2^n: n + 127 in the bits from 23 on. */
const EXPONENT_BIAS: i32 = 127;
const MANTISSA_BITS: i32 = 23;

/** exp(x) = 2^n exp(r), |r| ≤ ln 2 / 2, by the polynomial of Cephes' expf (Moshier), 2 units in the last place. */
// @ts-ignore: decorator
@inline
function exp(x: v128): v128 {
  const inRange = f32x4.min(f32x4.max(x, f32x4.splat(LEAST)), f32x4.splat(MOST));
  const n = f32x4.nearest(f32x4.mul(inRange, f32x4.splat(LOG2_E)));
  const r = madd(n, f32x4.splat(-LN2_LOW), madd(n, f32x4.splat(-LN2_HIGH), inRange));
  let p = madd(f32x4.splat(1.9875691500e-4), r, f32x4.splat(1.3981999507e-3));
  p = madd(p, r, f32x4.splat(8.3334519073e-3));
  p = madd(p, r, f32x4.splat(4.1665795894e-2));
  p = madd(p, r, f32x4.splat(1.6666665459e-1));
  p = madd(p, r, f32x4.splat(5.0000001201e-1));
  p = madd(f32x4.mul(r, r), p, f32x4.add(r, f32x4.splat(1)));
  const power = i32x4.shl(i32x4.add(i32x4.trunc_sat_f32x4_s(n), i32x4.splat(EXPONENT_BIAS)), MANTISSA_BITS);
  return f32x4.mul(p, power);
}

// @ts-ignore: decorator
@inline
function sigmoid(x: v128): v128 {
  const one = f32x4.splat(1);
  return f32x4.div(one, f32x4.add(one, exp(f32x4.neg(x))));
}

// @ts-ignore: decorator
@inline
function swishAt(x: usize, y: usize, lanes: i32): void {
  const value = read(x, lanes);
  write(y, f32x4.mul(value, sigmoid(value)), lanes);
}

// @ts-ignore: decorator
@inline
function swishGradientAt(x: usize, dy: usize, dx: usize, lanes: i32): void {
  const one = f32x4.splat(1);
  const value = read(x, lanes);
  const share = sigmoid(value);
  const slope = f32x4.mul(share, madd(value, f32x4.sub(one, share), one));
  write(dx, f32x4.mul(read(dy, lanes), slope), lanes);
}

/** y = x σ(x); `count` is in floats. */
export function swish(x: usize, y: usize, count: i32): void {
  const whole = (count & ~3) << 2;
  for (let i = 0; i < whole; i += 16) swishAt(x + i, y + i, 4);
  if (count & 3) swishAt(x + whole, y + whole, count & 3);
}

/** dx = dy times the slope at x. */
export function swishGradient(x: usize, dy: usize, dx: usize, count: i32): void {
  const whole = (count & ~3) << 2;
  for (let i = 0; i < whole; i += 16) swishGradientAt(x + i, dy + i, dx + i, 4);
  if (count & 3) swishGradientAt(x + whole, dy + whole, dx + whole, count & 3);
}
