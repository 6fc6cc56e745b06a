// Counts different rows of whole numbers, in a hash table with linear probing.

/** FNV-1a over 32-bit words. */
const OFFSET = 0x811c9dc5
const PRIME = 0x01000193

/** @param rows row-major, `width` numbers each */
function countDistinct(rows: Uint32Array, width: number): number {
  const count = rows.length / width
  // At most half full.
  const capacity = 2 ** Math.ceil(Math.log2(2 * count + 2))
  /** Number of the row plus 1; 0 for a free place. */
  const table = new Uint32Array(capacity)
  const isSame = (a: number, b: number) => {
    for (let i = 0; i < width; i++) if (rows[a * width + i] !== rows[b * width + i]) return false
    return true
  }
  let distinct = 0
  for (let row = 0; row < count; row++) {
    let hash = OFFSET
    for (let i = 0; i < width; i++) {
      hash = Math.imul(hash ^ (rows[row * width + i] as number), PRIME)
      hash ^= hash >>> 15
    }
    let place = (hash >>> 0) & (capacity - 1)
    while (table[place] !== 0 && !isSame((table[place] as number) - 1, row)) place = (place + 1) & (capacity - 1)
    if (table[place] !== 0) continue
    table[place] = row + 1
    distinct += 1
  }
  return distinct
}

export { countDistinct }
