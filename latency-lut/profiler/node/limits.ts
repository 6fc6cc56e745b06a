// Numbers of the profiler and its command line, in one place, each with its reason.

/**
 * Images in one run, unless asked otherwise. Measured with `fashion-mini` on wasm, one core of an AMD EPYC (Zen 5), over 16
 * random networks (`latency-lut profile --space fashion-mini --batch N --check 16`): the sum of entries is 2.0, 1.0, 0.8 and
 * 0.8 % off on average at batch 1, 8, 16 and 32. At 1, networks take 0.4 to 2.2 ms (the mul#log latency loss needs more
 * than 1 ms), a good part of it TensorFlow.js's own JavaScript, and the same network called over and over is up to 12 %
 * faster than one called now and then. At 8 they take 1.9 to 15 ms, that difference is below 5 %, and a round over all 40
 * keys still takes well under 0.1 s. Larger batches predict hardly better and cost two and four times the time.
 */
const DEFAULT_BATCH = 8
/** Long enough for more than 100 rounds over the 40 keys of `fashion-mini`, also on a busy machine: medians within 2 to 4 %. */
const DEFAULT_BUDGET_MS = 10_000
/** Samples are positive: the clock counts nanoseconds. */
const LEAST_SAMPLE_MS = 1e-6
/** An interrupted profile loses this much at most; writing a file of some hundred kilobytes takes milliseconds. */
const SAVE_INTERVAL_MS = 2000

/** Random networks that take turns with one that is measured on its own, so that it finds the caches as it would elsewhere. */
const COMPANION_NETWORKS = 7
/** How many random networks tell a good prediction from a lucky one. */
const MAX_CHECKED_NETWORKS = 200

/** `validate`: half of them for the fit, half for the figures; 25 tell 90 % within ±10 % from all of them. */
const DEFAULT_VALIDATED_NETWORKS = 50
/** Two for a straight line, two to judge it. */
const MIN_VALIDATED_NETWORKS = 4
/** As many as ProxylessNAS was argued with. */
const MAX_VALIDATED_NETWORKS = 5000
/**
 * Networks in memory at a time, and so in the same rounds: one of `proxyless-mobile` takes some 40 MB with the runtime's own
 * copy of its weights.
 */
const NETWORKS_AT_ONCE = 50
/** Of the networks furthest off. */
const WORST_SHOWN = 5

/** A table of 20,000 entries has about 4 MB. */
const MAX_FILE_BYTES = 16 * 1024 * 1024

export {
  COMPANION_NETWORKS,
  DEFAULT_BATCH,
  DEFAULT_BUDGET_MS,
  DEFAULT_VALIDATED_NETWORKS,
  LEAST_SAMPLE_MS,
  MAX_CHECKED_NETWORKS,
  MAX_FILE_BYTES,
  MAX_VALIDATED_NETWORKS,
  MIN_VALIDATED_NETWORKS,
  NETWORKS_AT_ONCE,
  SAVE_INTERVAL_MS,
  WORST_SHOWN,
}
