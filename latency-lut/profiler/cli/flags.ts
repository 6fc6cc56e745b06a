// Flags that several commands share.

import type { ArgsDef } from 'citty'

const jsonFlag = { json: { type: 'boolean', description: 'print one JSON value to standard output' } } as const satisfies ArgsDef
const spaceFlag = {
  space: { type: 'string', required: true, valueHint: 'SPACE', description: 'preset name, or @FILE with a search space in JSON' },
} as const satisfies ArgsDef
const tableFlag = {
  table: { type: 'string', required: true, valueHint: 'FILE', description: 'table in JSON' },
} as const satisfies ArgsDef

export { jsonFlag, spaceFlag, tableFlag }
