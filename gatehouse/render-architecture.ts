// An architecture as a picture in plain text: one line per part from image to classes, a bar as long as its latency.

import { printLarge, printLatency, printShare } from '../command-line/quantities.ts'
import { printable, renderEntry, renderTable } from '../command-line/text-layout.ts'
import type { DerivedArchitecture } from './derived-architecture.ts'

const LABEL_WIDTH = 13
const BAR_LENGTH = 20
const VERSION_DIGITS = 8

type Row = DerivedArchitecture['fixedParts'][number] & { readonly probability: string; readonly mark: string }

/** From image to classes: the stem, an MBConv behind it, the blocks, the head. */
function rowsOf({ fixedParts, blocks }: DerivedArchitecture): Row[] {
  const tail = new Set(['head', 'classifier'])
  const fixed = (isTail: boolean) =>
    fixedParts.filter(({ part }) => tail.has(part) === isTail).map((part) => ({ ...part, probability: '', mark: '' }))
  const chosen = blocks.map(({ block, probability, predicted, ...rest }) => ({
    ...rest,
    part: block,
    probability: probability === undefined ? '' : printShare(probability),
    mark: predicted ? 'predicted' : '',
  }))
  return [...fixed(false), ...chosen, ...fixed(true)]
}

/** `mb6k5` as its numbers: MBConv6 5x5 /2; a plus where the input is added. */
function describeOperation({ operation, kernel, stride, expansion, shortcut, latencyKey, output }: Row): string {
  if (latencyKey === null && output) return 'skipped'
  if (kernel === undefined) return operation
  const name = expansion === undefined ? operation : `MBConv${expansion}`
  return `${name} ${kernel}x${kernel}${stride === 2 ? ' /2' : ''}${shortcut === true ? ' +' : ''}`
}

/** A skipped block is a plain line: what comes in goes out. */
function drawBar(row: Row, slowestMs: number): string {
  if (row.latencyKey === null && row.latencyMs === 0) return '|'
  return '#'.repeat(Math.max(1, Math.round((row.latencyMs / slowestMs) * BAR_LENGTH)))
}

function renderArchitecture(architecture: DerivedArchitecture, width: number): string {
  const predicted = architecture.blocks.filter((block) => block.predicted).length
  const mark = predicted === 0 ? '' : `; ${predicted} of ${architecture.blocks.length} blocks predicted, not measured`
  const { name, version } = architecture.latencyTable
  const entry = (label: string, text: string) => renderEntry(label, text, LABEL_WIDTH, width)
  const rows = rowsOf(architecture)
  const slowestMs = Math.max(...rows.map(({ latencyMs }) => latencyMs))
  return [
    entry('architecture', printable(architecture.encoding)),
    ...(architecture.published === undefined ? [] : [entry('published as', printable(architecture.published))]),
    ...(architecture.probability === undefined ? [] : [entry('probability', printShare(architecture.probability))]),
    entry('latency', `${printLatency(architecture.latencyMs)}, by table ${printable(name)}@${version.slice(0, VERSION_DIGITS)}${mark}`),
    entry('size', `${printLarge(architecture.macs)} multiply-accumulates, ${printLarge(architecture.parameters)} parameters`),
    '',
    renderTable(
      [
        { title: 'part' },
        { title: 'operation' },
        { title: 'output' },
        { title: 'MACs', align: 'right' },
        { title: 'probability', align: 'right' },
        { title: 'latency', align: 'right' },
        { title: '' },
        { title: '' },
      ],
      [
        ['input', '', architecture.input.join('x'), '', '', '', '', ''],
        ...rows.map((row) => [
          printable(row.part),
          describeOperation(row),
          row.output?.join('x') ?? '',
          printLarge(row.macs),
          row.probability,
          printLatency(row.latencyMs),
          drawBar(row, slowestMs),
          row.mark,
        ]),
      ],
    ),
  ].join('\n')
}

export { renderArchitecture }
