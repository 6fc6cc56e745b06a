// Datasets: open one, share its train images out, and make mini-batches of it.

export { batchIndices } from './batch-indices.ts'
export { type BatchRequest, type BatchSource, type BatchStream, openBatchSource } from './batch-source.ts'
export type { Dataset, FileDataset, FileSplit, ImageShape, Labels, MemoryDataset, Normalisation, RawDataset, Split } from './dataset.ts'
export { describeBroken } from './describe-broken.ts'
export { DatasetError, type DatasetErrorCode } from './errors.ts'
export { type Augmentation, type Batch, fillBatch, type FillBatchOptions } from './fill-batch.ts'
export { encodeIdxImages, encodeIdxLabels } from './idx-file.ts'
export { type DatasetReport, inspectDataset, type InspectOptions } from './inspect-dataset.ts'
export { type DatasetKind, DEFAULT_CACHE_FOLDER, DEFAULT_INPUT, type OpenOptions, openDataset } from './open-dataset.ts'
export type { DatasetProgress, DatasetReader, DatasetSource, LocateResult, OnDatasetProgress, ReadOptions } from './reader.ts'
export { type DatasetRef, datasetRefSchema, parseDatasetRef } from './reference.ts'
export { type ShareFractions, type Shares, splitShares } from './shares.ts'
