// Our own JSON: a whole table. Read with JSON's own parser first and with YAML's second, of which JSON is a part: that one
// knows lines and sees keys that are there twice, where JSON.parse silently takes the last.

import { isMap, isScalar, type YAMLMap } from 'yaml'
import { fieldPath } from '../../../../protocol/index.ts'
import { latencyTableSchema } from '../../../table/table.ts'
import { EntryCollector, type LineProblem, type TableFormat, TableFormatError } from './table-format.ts'
import { parseYaml, plainFigures } from './yaml-format.ts'

function duplicatesOf(map: YAMLMap, lineOf: (node: unknown) => number): LineProblem[] {
  const seen = new Set<string>()
  return map.items.flatMap(({ key, value }) => {
    const name = String(key)
    const problems = seen.has(name) ? [{ line: lineOf(key), message: `"${name}" is there twice` }] : []
    seen.add(name)
    return isMap(value) ? [...problems, ...duplicatesOf(value, lineOf)] : problems
  })
}

/** Where V8 says that JSON ends to be JSON. */
function lineOfSyntaxError(message: string): number {
  return Number(/\(line (\d+) column \d+\)/.exec(message)?.[1] ?? 1)
}

/** The node at a path, or the innermost one around it that is there. */
function nearestNode(map: YAMLMap, path: readonly PropertyKey[]): unknown {
  for (let length = path.length; length > 0; length--) {
    const node = map.getIn(path.slice(0, length), true)
    if (node !== undefined) return node
  }
  return map
}

const jsonFormat: TableFormat = {
  extensions: ['json'],
  holdsDescription: true,
  read(text) {
    let value: unknown
    try {
      value = JSON.parse(text)
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error)
      throw new TableFormatError([{ line: lineOfSyntaxError(message), message: `not JSON: ${message}` }])
    }
    const { contents, lineOf } = parseYaml(text)
    if (!isMap(contents)) throw new TableFormatError([{ line: 1, message: 'expected an object with a latency table' }])
    const duplicates = duplicatesOf(contents, lineOf)
    if (duplicates.length > 0) throw new TableFormatError(duplicates)
    const entries = new EntryCollector({ meanMs: 'meanMs', stdMs: 'stdMs', count: 'count' })
    const given = contents.get('entries')
    for (const { key, value: figures } of isMap(given) ? given.items : []) {
      entries.add(lineOf(key), isScalar(key) ? String(key.value) : String(key), isMap(figures) ? plainFigures(figures) : figures)
    }
    entries.finish()
    const parsed = latencyTableSchema.safeParse(value)
    if (!parsed.success) {
      throw new TableFormatError(
        parsed.error.issues.map(({ path, message }) => ({
          line: lineOf(nearestNode(contents, path)),
          message: path.length === 0 ? message : `${fieldPath(path)}: ${message}`,
        })),
      )
    }
    const { entries: checked, ...description } = parsed.data
    return { description, entries: checked }
  },
  write: (table) => `${JSON.stringify(table, null, 2)}\n`,
}

export { jsonFormat }
