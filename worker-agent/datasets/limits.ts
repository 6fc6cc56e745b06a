// Every bound of this folder, with its unit and its reason.

/** Bytes of one source file after unpacking, and of one read: Node reads at most 2 GiB − 1 at a time. */
const MAX_FILE_BYTES = 2 ** 31 - 1

/** Bytes of the JSON header of a cache file; ours is about 1 KiB, so more means damage. */
const MAX_CACHE_HEADER_BYTES = 64 * 1024

/** Labels are single bytes. */
const MAX_CLASSES = 256

/** Epoch orders kept per share: weights and architecture steps of two neighbouring epochs may be in flight at once. */
const KEPT_EPOCH_ORDERS = 4

/** How far the three fractions may be from summing to one: 0.7 + 0.2 + 0.1 is not exactly 1 in binary. */
const FRACTION_TOLERANCE = 1e-9

export { FRACTION_TOLERANCE, KEPT_EPOCH_ORDERS, MAX_CACHE_HEADER_BYTES, MAX_CLASSES, MAX_FILE_BYTES }
