// A strict reader of pickles that hold plain data: dictionaries, lists, tuples, texts, bytes, whole numbers, and NumPy arrays of bytes, as the
// Python version of CIFAR has them (protocol 2, of Python 2) and as Python 3 writes them (up to protocol 5). Python's own pickle calls
// whatever function a file names; this one calls nothing: three names of NumPy are known for what they mean, all others are refused.
// Format: Python's Lib/pickletools.py.

import { DatasetError } from './errors.ts'

/** `values` are the bytes of the file, not a copy. */
type PickledArray = { readonly kind: 'array'; readonly shape: readonly number[]; readonly values: Uint8Array }
type Pickled = null | boolean | number | string | Uint8Array | readonly Pickled[] | Map<string, Pickled> | PickledArray | Callable

/** What NumPy's arrays are made by, and the arrays and types on their way. */
type Callable =
  | { readonly kind: 'name'; readonly name: KnownName }
  | { readonly kind: 'type'; readonly dtype: string }
  | { kind: 'raw'; array: PickledArray | null }

type KnownName = 'reconstruct' | 'ndarray' | 'dtype'
const knownNames: Readonly<Record<string, KnownName>> = {
  'numpy.core.multiarray _reconstruct': 'reconstruct',
  'numpy._core.multiarray _reconstruct': 'reconstruct',
  'numpy ndarray': 'ndarray',
  'numpy dtype': 'dtype',
}

const MAX_PROTOCOL = 5
const BYTES_DTYPE = 'u1'

/** Throws DatasetError `bad-record` for anything else than plain data; `file` is for the message. */
function readPickle(bytes: Uint8Array, file: string): Pickled {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const stack: Pickled[] = []
  const marks: number[] = []
  const memo = new Map<number, Pickled>()
  let at = 0

  const refuse = (reason: string): never => {
    throw new DatasetError('bad-record', `expected ${file} to be a pickle of plain data, got ${reason} at byte ${at}; download it again`, {
      file,
    })
  }
  const take = (count: number): Uint8Array => {
    if (at + count > bytes.length) refuse('its end')
    at += count
    return bytes.subarray(at - count, at)
  }
  const byte = () => take(1)[0] as number
  const uint16 = () => (take(2), view.getUint16(at - 2, true))
  const uint32 = () => (take(4), view.getUint32(at - 4, true))
  const int32 = () => (take(4), view.getInt32(at - 4, true))
  const uint64 = () => (take(8), Number(view.getBigUint64(at - 8, true)))
  const line = () => {
    const end = bytes.indexOf(0x0a, at)
    if (end === -1) refuse('its end')
    const text = latin1(take(end - at))
    at += 1
    return text
  }
  const latin1 = (values: Uint8Array) => Buffer.from(values.buffer, values.byteOffset, values.length).toString('latin1')
  const utf8 = (values: Uint8Array) => Buffer.from(values.buffer, values.byteOffset, values.length).toString('utf8')
  const push = (value: Pickled) => void stack.push(value)
  const pop = (): Pickled => (stack.length > (marks.at(-1) ?? 0) ? (stack.pop() as Pickled) : refuse('nothing where a value belongs'))
  const popTo = () => stack.splice(marks.pop() ?? refuse('no mark where one belongs'))
  const top = (): Pickled => stack.at(-1) ?? refuse('nothing where a value belongs')
  const textOf = (value: Pickled): string =>
    typeof value === 'string' ? value : value instanceof Uint8Array ? latin1(value) : refuse('a key that is no text')

  const append = (items: readonly Pickled[]) => {
    const list = top()
    if (!Array.isArray(list)) return refuse('an item without a list')
    for (const item of items) list.push(item)
    return undefined
  }
  const setItems = (items: readonly Pickled[]) => {
    const map = top()
    if (!(map instanceof Map) || items.length % 2 !== 0) return refuse('an entry without a dictionary')
    for (let i = 0; i < items.length; i += 2) map.set(textOf(items[i] as Pickled), items[i + 1] as Pickled)
    return undefined
  }
  const isKind = <K extends string>(value: Pickled | undefined, kind: K): value is Extract<Pickled, { kind: K }> =>
    typeof value === 'object' && value !== null && 'kind' in value && value.kind === kind
  const reduce = () => {
    const given = pop()
    const called = pop()
    if (!isKind(called, 'name') || !Array.isArray(given)) return refuse('a call')
    if (called.name === 'dtype' && typeof given[0] === 'string') return push({ kind: 'type', dtype: given[0] })
    if (called.name === 'dtype' && given[0] instanceof Uint8Array) return push({ kind: 'type', dtype: latin1(given[0]) })
    if (called.name === 'reconstruct') return push({ kind: 'raw', array: null })
    return refuse(`a call of ${called.name}`)
  }
  /** (version, shape, dtype, whether in Fortran's order, bytes) for an array; of a type, whose byte order is of no matter, nothing is needed. */
  const build = () => {
    const state = pop()
    const built = top()
    if (isKind(built, 'type')) return undefined
    if (!isKind(built, 'raw') || !Array.isArray(state)) return refuse('a state')
    const [, shape, type, isFortran, values] = state as Pickled[]
    if (!isKind(type, 'type') || type.dtype !== BYTES_DTYPE)
      return refuse(`an array of ${isKind(type, 'type') ? type.dtype : 'unknown type'}, not of bytes`)
    if (isFortran !== false || !Array.isArray(shape) || !shape.every((size) => typeof size === 'number'))
      return refuse('an array in another order')
    const bytesOf = typeof values === 'string' ? Buffer.from(values, 'latin1') : values
    if (!(bytesOf instanceof Uint8Array) || bytesOf.length !== shape.reduce((product: number, size: number) => product * size, 1)) {
      return refuse('an array of another size')
    }
    built.array = { kind: 'array', shape: shape as number[], values: bytesOf }
    return undefined
  }
  const global = (module: string, name: string) => {
    const known = knownNames[`${module} ${name}`]
    push(known ? { kind: 'name', name: known } : refuse(`the name ${module.slice(0, 60)}.${name.slice(0, 60)}, which nothing here calls`))
  }

  const operations: Readonly<Record<number, () => unknown>> = {
    0x80: () => byte() <= MAX_PROTOCOL || refuse('a protocol of its future'),
    0x95: () => void uint64(), // FRAME
    0x7d: () => push(new Map()),
    0x5d: () => push([]),
    0x29: () => push([]), // EMPTY_TUPLE
    0x28: () => void marks.push(stack.length),
    0x4e: () => push(null),
    0x88: () => push(true),
    0x89: () => push(false),
    0x4a: () => push(int32()),
    0x4b: () => push(byte()),
    0x4d: () => push(uint16()),
    0x8a: () => {
      // LONG1, little-endian two's complement.
      const digits = take(byte())
      if (digits.length > 6) refuse('a number too large')
      const unsigned = digits.reduceRight((sum, digit) => sum * 256 + digit, 0)
      push(unsigned - ((digits.at(-1) ?? 0) > 127 ? 256 ** digits.length : 0))
    },
    0x55: () => push(take(byte())), // SHORT_BINSTRING and BINSTRING of Python 2: bytes
    0x54: () => push(take(uint32())),
    0x43: () => push(take(byte())),
    0x42: () => push(take(uint32())),
    0x8e: () => push(take(uint64())),
    0x58: () => push(utf8(take(uint32()))),
    0x8c: () => push(utf8(take(byte()))),
    0x71: () => void memo.set(byte(), top()),
    0x72: () => void memo.set(uint32(), top()),
    0x94: () => void memo.set(memo.size, top()),
    0x68: () => push(memo.get(byte()) ?? refuse('a reference to nothing')),
    0x6a: () => push(memo.get(uint32()) ?? refuse('a reference to nothing')),
    0x61: () => append([pop()]),
    0x65: () => append(popTo()),
    0x73: () => {
      const value = pop()
      setItems([pop(), value])
    },
    0x75: () => setItems(popTo()),
    0x74: () => push(popTo()),
    0x85: () => push([pop()]),
    0x86: () => push(stack.splice(stack.length - 2)),
    0x87: () => push(stack.splice(stack.length - 3)),
    0x63: () => global(line(), line()),
    0x93: () => {
      const name = textOf(pop())
      global(textOf(pop()), name)
    },
    0x52: reduce,
    0x62: build,
  }
  const STOP = 0x2e
  for (;;) {
    const code = byte()
    if (code === STOP) break
    const operation = operations[code] ?? refuse(`the operation 0x${code.toString(16)}`)
    operation()
  }
  const result = pop()
  if (stack.length > 0 || at !== bytes.length) refuse('more than one value')
  return settle(result)
}

/** Arrays in place of what they were built in. */
function settle(value: Pickled): Pickled {
  if (value instanceof Map) return new Map([...value].map(([key, item]) => [key, settle(item)]))
  if (typeof value === 'object' && value !== null && 'kind' in value && value.kind === 'raw') return value.array
  return value
}

export { type Pickled, type PickledArray, readPickle }
