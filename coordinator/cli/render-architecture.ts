// An architecture, block by block.

import type { Architecture } from '../protocol/index.ts'
import { printLarge, printLatency, printShare } from './quantities.ts'
import { printable, renderEntry, renderTable } from '../../command-line/text-layout.ts'

const LABEL_WIDTH = 13

function renderArchitecture(architecture: Architecture, width: number): string {
  const entry = (label: string, text: string) => renderEntry(label, text, LABEL_WIDTH, width)
  return [
    entry('architecture', printable(architecture.encoding)),
    entry('latency', `${printLatency(architecture.latencyMs)}, by the latency table`),
    entry('size', `${printLarge(architecture.macs)} multiply-accumulates, ${printLarge(architecture.parameters)} parameters`),
    '',
    renderTable(
      [{ title: 'block' }, { title: 'operation' }, { title: 'probability', align: 'right' }, { title: 'latency', align: 'right' }],
      architecture.blocks.map(({ block, operation, probability, latencyMs }) => [
        printable(block),
        printable(operation),
        printShare(probability),
        printLatency(latencyMs),
      ]),
    ),
  ].join('\n')
}

export { renderArchitecture }
