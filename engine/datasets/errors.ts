// What can be wrong with a dataset. The code is for programs, the message for people: it names the file, the facts
// and what to do about them.

type DatasetErrorCode =
  | 'bad-reference'
  | 'folder-missing'
  | 'files-missing'
  | 'package-missing'
  | 'file-unreadable'
  | 'gzip-corrupt'
  | 'bad-magic'
  | 'wrong-size'
  | 'too-large'
  | 'empty-dataset'
  | 'bad-record'
  | 'shape-mismatch'
  | 'count-mismatch'
  | 'label-out-of-range'
  | 'no-classes'
  | 'one-class'
  | 'empty-class'
  | 'unknown-class'
  | 'broken-images'
  | 'bad-fractions'
  | 'share-too-small'
  | 'bad-batch'

class DatasetError extends Error {
  readonly code: DatasetErrorCode
  /** The file or folder at fault, where there is one. */
  readonly file: string | undefined

  constructor(code: DatasetErrorCode, message: string, options: { file?: string; cause?: unknown } = {}) {
    super(message, { cause: options.cause })
    this.name = 'DatasetError'
    this.code = code
    this.file = options.file
  }
}

/** The one-line reason of anything thrown, for use inside another message. */
function reasonOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown)
}

export { DatasetError, type DatasetErrorCode, reasonOf }
