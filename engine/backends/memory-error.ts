// How a backend says that the device's memory is full.

/** Thrown where an allocation fails that the backend itself would not notice. */
class OutOfMemoryError extends Error {
  override readonly name = 'OutOfMemoryError'
  readonly code = 'out-of-memory'
}

/** TensorFlow names the status; Dawn, V8 and WebAssembly use words. */
const patterns = /out of memory|resource ?exhausted|\bOOM\b|failed to allocate|allocation failed|array buffer allocation|memory\.grow/i

function isOutOfMemory(error: unknown): boolean {
  return error instanceof OutOfMemoryError || (error instanceof Error && patterns.test(error.message))
}

export { isOutOfMemory, OutOfMemoryError }
