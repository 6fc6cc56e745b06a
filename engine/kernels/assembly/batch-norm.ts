// Batch normalisation of a whole tensor, for where no convolution next to it can take it over; see normalised.ts.

import { addRows, clearMoments, finishMoments } from './moments';
import { finishGradient, gradientRows, normaliseRows, prepareNorm, sumGradientRows } from './normalised';

/** Mean and biased variance per channel of x[rows, channels]; `moments` as in moments.ts. */
export function channelStatistics(x: usize, mean: usize, variance: usize, moments: usize, rows: i32, channels: i32): void {
  clearMoments(moments, channels);
  addRows(x, moments, rows, channels);
  finishMoments(moments, mean, variance, channels);
}

/** `scratch` holds 3 vectors. */
export function normalise(
  x: usize,
  mean: usize,
  variance: usize,
  gamma: usize,
  beta: usize,
  y: usize,
  scratch: usize,
  rows: i32,
  channels: i32,
  epsilon: f32,
  activation: i32,
): void {
  prepareNorm(mean, variance, gamma, beta, scratch, channels, epsilon);
  normaliseRows(x, y, scratch, rows, channels, activation);
}

/** coefficients [5, channels], dgamma and dbeta; `scratch` holds 2 vectors. With `dx` (or 0) the gradient as well. */
export function normaliseGradient(
  x: usize,
  dy: usize,
  mean: usize,
  variance: usize,
  gamma: usize,
  beta: usize,
  dx: usize,
  coefficients: usize,
  dgamma: usize,
  dbeta: usize,
  scratch: usize,
  rows: i32,
  channels: i32,
  epsilon: f32,
  activation: i32,
): void {
  prepareNorm(mean, variance, gamma, beta, coefficients, channels, epsilon);
  memory.fill(scratch, 0, channels << 3);
  sumGradientRows(x, dy, coefficients, scratch, rows, channels, activation);
  finishGradient(scratch, coefficients, variance, coefficients, dgamma, dbeta, rows, channels, epsilon);
  if (dx) gradientRows(x, dy, dx, coefficients, rows, channels, activation);
}
