// One array of NumPy (numpy.lib.format): "\\x93NUMPY", two bytes of version, the length of a header, a Python dictionary as text, the values.

import { DatasetError } from './errors.ts'

const MAGIC = '\x93NUMPY'
const VERSION_AT = 6
const HEADER = /^\{'descr': '([<>|=]?)([biuf])(\d+)', 'fortran_order': (True|False), 'shape': \(([\d, ]*)\),? ?\}\s*$/

type NpyArray = {
  /** `u1` for bytes, `i8` for whole numbers of 8 bytes and so on. */
  readonly type: string
  readonly shape: readonly number[]
  /** Little-endian, row-major. */
  readonly bytes: Uint8Array
}

/** Throws DatasetError `bad-record`; `what` is for the message. */
function parseNpy(bytes: Uint8Array, what: string, file: string): NpyArray {
  const refuse = (reason: string): never => {
    throw new DatasetError('bad-record', `expected ${what} to be an array of NumPy, got ${reason}`, { file })
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  if (bytes.length < 12 || Buffer.from(bytes.subarray(0, VERSION_AT)).toString('latin1') !== MAGIC) return refuse('another file')
  const isShort = bytes[VERSION_AT] === 1
  const headerAt = isShort ? 10 : 12
  const headerBytes = isShort ? view.getUint16(8, true) : view.getUint32(8, true)
  const text = Buffer.from(bytes.subarray(headerAt, headerAt + headerBytes)).toString('latin1')
  const [, order, kind, size = '', isFortran, sizes = ''] = HEADER.exec(text) ?? refuse(`the header ${text.slice(0, 80)}`)
  if (order === '>' || isFortran === 'True') refuse('an array in another order: save it by numpy.ascontiguousarray, little-endian')
  const shape = sizes
    .split(',')
    .filter((part) => part.trim() !== '')
    .map(Number)
  const values = bytes.subarray(headerAt + headerBytes)
  const wanted = shape.reduce((product, length) => product * length, Number(size))
  if (values.length !== wanted) refuse(`${values.length} bytes instead of ${wanted} for the shape ${shape.join('×')}`)
  return { type: `${kind}${size}`, shape, bytes: values }
}

export { type NpyArray, parseNpy }
