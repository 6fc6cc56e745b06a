// The weights of one shard, as rows of SQLite and hot in memory. Neighbouring small tensors share a segment, so a push
// writes a few rows rather than one per tensor; a segment longer than a row is stored in several. A segment that was
// never pushed to is not stored at all: version 0 is computed from the seed (search-space/initialise.ts).

import * as z from 'zod'
import { elementCount, initialWeights, type WeightSpec } from '../../search-space/index.ts'
import { MAX_ROW_BYTES, SEGMENT_BYTES } from '../../protocol/index.ts'
import { readStored, unreadable } from '../../rules/stored/stored-form.ts'

const FLOAT_BYTES = 4
/** Of the tensors of a segment, as they are stored. */
const versionsSchema = z.array(z.int().min(0))
/** Row id = segment · this + chunk; no tensor that fits a message has more chunks. */
const MAX_CHUNKS = 1000

/** Where a tensor lives: `position` counts the tensors of its segment, `offset` and `length` its floats. */
type Slot = {
  readonly spec: WeightSpec
  readonly segment: number
  readonly position: number
  readonly offset: number
  readonly length: number
}

/** Values of one segment with a version per tensor; replaced as a whole, never changed in place. */
type Segment = { readonly values: Float32Array<ArrayBuffer>; readonly versions: readonly number[] }

type SegmentRow = { versions: string; data: ArrayBuffer }

type SegmentLayout = { readonly slots: ReadonlyMap<string, Slot>; readonly segments: readonly (readonly Slot[])[] }

/** No segment has tensors of two groups. */
function layOutSegments(groups: readonly (readonly WeightSpec[])[]): SegmentLayout {
  const slots = new Map<string, Slot>()
  const segments: Slot[][] = []
  for (const specs of groups) {
    let filled = Number.POSITIVE_INFINITY
    for (const spec of specs) {
      const length = elementCount(spec.shape)
      if ((filled + length) * FLOAT_BYTES > SEGMENT_BYTES) {
        segments.push([])
        filled = 0
      }
      const position = segments.at(-1)?.length ?? 0
      const slot: Slot = { spec, segment: segments.length - 1, position, offset: filled, length }
      segments.at(-1)?.push(slot)
      slots.set(spec.key, slot)
      filled += length
    }
  }
  return { slots, segments }
}

type SegmentStore = {
  readonly slots: ReadonlyMap<string, Slot>
  /** Of segments. */
  readonly count: number
  /** Versions of all tensors as they are stored, added up: every push raises it. */
  revision(): number
  read(segment: number): Segment
  /** What a segment was in a snapshot. */
  readSnapshot(segment: number, snapshot: number): Segment
  /** Within the caller's transaction; the copy in memory is replaced by `adopt`, once that has committed. */
  write(segment: number, content: Segment): void
  adopt(segment: number, content: Segment): void
}

/** In an object whose tables are there. What cannot be read is ProblemError `unreadable`. */
function createSegmentStore(sql: SqlStorage, groups: readonly (readonly WeightSpec[])[], seed: number): SegmentStore {
  const { slots, segments } = layOutSegments(groups)
  const hot = new Map<number, Segment>()

  const readVersions = (text: string, segment: number, where = `segment ${segment}`): number[] => {
    const versions = readStored(versionsSchema, text, where)
    const tensors = segments[segment]?.length ?? 0
    if (versions.length !== tensors) throw unreadable(where, `expected ${tensors} versions, got ${versions.length}`)
    return versions
  }

  const load = (index: number, snapshot: number | null = null): Segment => {
    const members = segments[index] ?? []
    const values = new Float32Array(members.reduce((sum, slot) => sum + slot.length, 0))
    const [from, to] = [index * MAX_CHUNKS, (index + 1) * MAX_CHUNKS]
    const rows = (
      snapshot === null
        ? sql.exec<SegmentRow>('SELECT versions, data FROM segments WHERE row >= ? AND row < ? ORDER BY row', from, to)
        : sql.exec<SegmentRow>(
            'SELECT versions, data FROM snapshot_segments WHERE snapshot = ? AND row >= ? AND row < ? ORDER BY row',
            snapshot,
            from,
            to,
          )
    ).toArray()
    if (rows.length === 0) {
      for (const slot of members) values.set(initialWeights(slot.spec, seed), slot.offset)
      return { values, versions: members.map(() => 0) }
    }
    const where = snapshot === null ? `segment ${index}` : `snapshot ${snapshot}, segment ${index}`
    const bytes = new Uint8Array(values.buffer)
    const stored = rows.reduce((sum, row) => sum + row.data.byteLength, 0)
    if (stored !== bytes.byteLength) throw unreadable(where, `expected ${bytes.byteLength} bytes of weights, got ${stored}`)
    let offset = 0
    for (const row of rows) {
      bytes.set(new Uint8Array(row.data), offset)
      offset += row.data.byteLength
    }
    return { values, versions: readVersions(rows[0]?.versions ?? '[]', index, where) }
  }

  return {
    slots,
    count: segments.length,
    readSnapshot: load,
    revision() {
      const rows = sql.exec<{ row: number; versions: string }>('SELECT row, versions FROM segments WHERE row % ? = 0', MAX_CHUNKS).toArray()
      return rows.flatMap(({ row, versions }) => readVersions(versions, row / MAX_CHUNKS)).reduce((sum, version) => sum + version, 0)
    },
    read(segment) {
      const known = hot.get(segment) ?? load(segment)
      hot.set(segment, known)
      return known
    },
    write(segment, { values, versions }) {
      const bytes = values.byteLength
      for (let chunk = 0; chunk * MAX_ROW_BYTES < bytes; chunk++) {
        const begin = chunk * MAX_ROW_BYTES
        const data = values.buffer.slice(begin, Math.min(begin + MAX_ROW_BYTES, bytes))
        const text = chunk === 0 ? JSON.stringify(versions) : '[]'
        sql.exec('INSERT OR REPLACE INTO segments (row, versions, data) VALUES (?, ?, ?)', segment * MAX_CHUNKS + chunk, text, data)
      }
    },
    adopt(segment, content) {
      hot.set(segment, content)
    },
  }
}

export { createSegmentStore, type Segment, type SegmentStore, type Slot }
