// Failures of the file system, which are a person's to mend.

/** An error of the file system, which says which path it is about. */
function isFileError(error: unknown): error is NodeJS.ErrnoException {
  return error instanceof Error && 'syscall' in error && 'path' in error
}

export { isFileError }
