// How large differences usually are, on one shard: of each push the largest one of its tensors, compared with the tensor itself, since filters
// and biases are of different sizes. Kept with the task that it is of, so that a push writes no row more.

import { isVelocityKey } from '../../protocol/index.ts'
import { KEPT_SIZES, largestUsual, rootMeanSquare } from '../../rules/usual-size.ts'

/** `floor`: what a tensor is taken for that is smaller, as biases and velocities are at first. Sizes are multiples of tensors. */
const kinds = {
  weight: { column: 'size', floor: 0.1, expected: 1, least: 0.05 },
  velocity: { column: 'velocity_size', floor: 1, expected: 10, least: 0.05 },
} as const
type Kind = keyof typeof kinds

/** What one push was, as far as sizes go; null where it had no tensor of the kind. */
type PushedSizes = Record<Kind, number | null>

type PushSizes = {
  /** The factor that brings a tensor's difference within what is usual, 1 or less; `pushed` takes its size in. */
  clip(key: string, difference: Float32Array, tensor: Float32Array, pushed: PushedSizes): number
  /** Once the push is stored. */
  add(taskId: number, pushed: PushedSizes): void
}

/** Of the tasks with the highest numbers, in their order: whether the object was evicted in between makes no difference. */
type TaskSize = { readonly taskId: number; readonly size: number }

function readSizes(sql: SqlStorage, column: string): TaskSize[] {
  const rows = sql.exec<{ taskId: number; size: number }>(
    `SELECT task_id AS taskId, ${column} AS size FROM applied WHERE ${column} IS NOT NULL ORDER BY task_id DESC LIMIT ?`,
    KEPT_SIZES,
  )
  return rows.toArray().toReversed()
}

function createPushSizes(sql: SqlStorage): PushSizes {
  const recent: Record<Kind, TaskSize[]> = { weight: readSizes(sql, kinds.weight.column), velocity: readSizes(sql, kinds.velocity.column) }
  return {
    clip(key, difference, tensor, pushed) {
      const kind: Kind = isVelocityKey(key) ? 'velocity' : 'weight'
      const size = rootMeanSquare(difference) / (rootMeanSquare(tensor) + kinds[kind].floor)
      pushed[kind] = Math.max(pushed[kind] ?? 0, size)
      const largest = largestUsual(
        recent[kind].map((task) => task.size),
        kinds[kind],
      )
      return Math.min(1, largest / size)
    },
    add(taskId, pushed) {
      for (const kind of ['weight', 'velocity'] as const) {
        const size = pushed[kind]
        if (size === null) continue
        const sizes = [...recent[kind], { taskId, size }].toSorted((a, b) => a.taskId - b.taskId)
        recent[kind] = sizes.slice(-KEPT_SIZES)
      }
    },
  }
}

export { createPushSizes, type PushedSizes, type PushSizes }
