// Every bound of this folder, with its unit and its reason.

/** Bytes of one source file after unpacking, and of one read: Node reads at most 2 GiB − 1 at a time. */
const MAX_FILE_BYTES = 2 ** 31 - 1

/** Bytes of the JSON header of a cache file; it names classes and broken files, so more means damage. */
const MAX_CACHE_HEADER_BYTES = 16 * 1024 * 1024

/** Labels are two bytes at most. */
const MAX_CLASSES = 65_536

/** Epoch orders kept per share: weights and architecture steps of two neighbouring epochs may be in flight at once. */
const KEPT_EPOCH_ORDERS = 4

/** How far the three fractions may be from summing to one: 0.7 + 0.2 + 0.1 is not exactly 1 in binary. */
const FRACTION_TOLERANCE = 1e-9

/** Part of each class that becomes the test split of a folder that has none. */
const TEST_FRACTION = 0.1

/** Bytes of one image file: it is read whole once, to hash it. */
const MAX_IMAGE_FILE_BYTES = 512 * 1024 * 1024

/** A folder of images is decoded into memory up to this many bytes of both splits together. */
const MAX_MEMORY_IMAGES_BYTES = 1024 ** 3

/** And where no image is larger than the input by more than this, 256/224: there is little to draw a random part from. */
const MAX_MEMORY_IMAGE_SCALE = 256 / 224

/** Train images that mean and deviation of a folder of images are taken from: their error is a fiftieth of the deviation. */
const NORMALISATION_IMAGES = 512

/** Files that are read, or images that are decoded, at once when a whole folder is gone through. */
const FILES_AT_ONCE = 16

/** Mini-batches that are decoded ahead of the one in use. */
const BATCHES_AHEAD = 2

export {
  BATCHES_AHEAD,
  FILES_AT_ONCE,
  FRACTION_TOLERANCE,
  KEPT_EPOCH_ORDERS,
  MAX_CACHE_HEADER_BYTES,
  MAX_CLASSES,
  MAX_FILE_BYTES,
  MAX_IMAGE_FILE_BYTES,
  MAX_MEMORY_IMAGE_SCALE,
  MAX_MEMORY_IMAGES_BYTES,
  NORMALISATION_IMAGES,
  TEST_FRACTION,
}
