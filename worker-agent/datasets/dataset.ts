// What a dataset is to the rest of the agent: two labelled stacks of byte images in memory, and one fingerprint by
// which machines agree that they hold the same data.

/** Height, width and channels of one image. */
type ImageShape = readonly [height: number, width: number, channels: number]

type Split = {
  count: number
  shape: ImageShape
  /** count × height × width × channels bytes, NHWC, 0 to 255. */
  images: Uint8Array
  /** `count` class indices. */
  labels: Uint8Array
}

/** Per channel, of the train images scaled to 0..1. */
type Normalisation = { mean: number[]; std: number[] }

/** What a reader makes of its files; everything else about a dataset follows from it. */
type RawDataset = {
  shape: ImageShape
  classes: number
  classNames?: readonly string[]
  train: Split
  test: Split
}

type Dataset = RawDataset & {
  /** For people; not part of the fingerprint. */
  name: string
  /** sha256 in hex, the same for the same pixels and labels in the same order, whatever files they came from. */
  fingerprint: string
  normalisation: Normalisation
}

export type { Dataset, ImageShape, Normalisation, RawDataset, Split }
