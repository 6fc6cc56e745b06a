// The YAML of the published ProxylessNAS tables: a map from key to milliseconds,
//
//   expanded_conv-input:112x112x16-output:56x56x24-expand:3-kernel:3-stride:2-idskip:0:
//     count: 125
//     mean: 4.38
//     std: 0.12        or var, its square
//
// and, where we write one that holds predictions, `predicted: { rmse: …, mape: … }` in such an entry.

import { isMap, isScalar, LineCounter, type Node, parseDocument, stringify, type YAMLMap } from 'yaml'
import { EntryCollector, type TableFormat, TableFormatError } from './table-format.ts'

/** Figures of an entry, by their names in a file. */
type Figures = Readonly<Record<string, unknown>>

const figureNames = new Set(['count', 'mean', 'std', 'var', 'predicted'])

/** Numbers as numbers; anything that is neither number nor map (a reference, a list) as its text, which no check lets pass. */
function plainValue(node: unknown): unknown {
  if (isScalar(node)) return node.value
  return isMap(node) ? plainFigures(node) : String(node)
}

function plainFigures(map: YAMLMap): Figures {
  return Object.fromEntries(map.items.map(({ key, value }) => [String(key), plainValue(value)]))
}

/** What is wrong with the names of an entry's figures; null if nothing is. */
function problemOf(map: YAMLMap, figures: Figures): string | null {
  const names = map.items.map(({ key }) => String(key))
  const twice = names.find((name, index) => names.indexOf(name) !== index)
  if (twice !== undefined) return `${twice} is there twice`
  const unknown = names.find((name) => !figureNames.has(name))
  if (unknown !== undefined) return `unknown figure ${unknown}; expected count, mean, and std or var`
  if ('std' in figures === 'var' in figures) return `expected either std or var, got ${'std' in figures ? 'both' : 'neither'}`
  if ('var' in figures && !(typeof figures['var'] === 'number' && figures['var'] >= 0)) {
    return `var: expected a number from 0, got ${JSON.stringify(figures['var'])}`
  }
  return null
}

function readPredicted(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value
  const { rmse, mape, ...rest } = value as Figures
  return { rmseMs: rmse, mapePct: mape, ...rest }
}

/** Throws TableFormatError for text that is no YAML. Duplicate keys are left to the reader, who knows what they are. */
function parseYaml(text: string): { contents: Node | null; lineOf(node: unknown): number } {
  const lines = new LineCounter()
  const document = parseDocument(text, { lineCounter: lines, uniqueKeys: false, prettyErrors: false })
  const lineAt = (offset: number) => Math.max(1, lines.linePos(offset).line)
  if (document.errors.length > 0) {
    throw new TableFormatError(document.errors.map(({ pos, message }) => ({ line: lineAt(pos[0]), message })))
  }
  const offsetOf = (node: unknown) => (node as { range?: readonly number[] | null } | null)?.range?.[0] ?? 0
  return { contents: document.contents, lineOf: (node) => lineAt(offsetOf(node)) }
}

const yamlFormat: TableFormat = {
  extensions: ['yaml', 'yml'],
  holdsDescription: false,
  read(text) {
    const { contents, lineOf } = parseYaml(text)
    if (!isMap(contents)) throw new TableFormatError([{ line: 1, message: 'expected a map from latency keys to count, mean and std' }])
    const entries = new EntryCollector({ meanMs: 'mean', stdMs: 'std', count: 'count' })
    for (const { key, value } of contents.items) {
      const line = lineOf(key)
      const name = isScalar(key) ? String(key.value) : String(key)
      if (!isMap(value)) {
        entries.report(line, `expected count, mean and std of ${name}`)
        continue
      }
      const figures = plainFigures(value)
      const problem = problemOf(value, figures)
      if (problem !== null) {
        entries.report(line, `${problem} (${name})`)
        continue
      }
      const { count, mean, std, var: variance, predicted } = figures
      entries.add(line, name, {
        meanMs: mean,
        stdMs: variance === undefined ? std : Math.sqrt(variance as number),
        count,
        ...(predicted === undefined ? {} : { predicted: readPredicted(predicted) }),
      })
    }
    return { description: {}, entries: entries.finish() }
  },
  write({ entries }) {
    const figures = Object.entries(entries).map(([key, { meanMs, stdMs, count, predicted }]) => [
      key,
      {
        count,
        mean: meanMs,
        std: stdMs,
        ...(predicted === undefined ? {} : { predicted: { rmse: predicted.rmseMs, mape: predicted.mapePct } }),
      },
    ])
    // Keys are longer than the usual line; folded ones could not be found with a text search.
    return stringify(Object.fromEntries(figures), { lineWidth: 0 })
  },
}

export { parseYaml, plainFigures, yamlFormat }
