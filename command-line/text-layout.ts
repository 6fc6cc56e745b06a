// Plain text in columns. Nothing here is coloured, so output looks the same in a terminal, a pipe and a log.

type Column = { readonly title: string; readonly align?: 'left' | 'right' }

/** Text from elsewhere without what could move the cursor or recolour a terminal. */
function printable(text: string): string {
  return text.replaceAll(/\p{C}/gu, '�')
}

/** A table whose columns are as wide as their widest cell. No rows: only the titles. */
function renderTable(columns: readonly Column[], rows: readonly (readonly string[])[], indent = ''): string {
  const lines = [columns.map((column) => column.title), ...rows]
  const widths = columns.map((_, index) => Math.max(...lines.map((line) => (line[index] ?? '').length)))
  return lines
    .map((line) => {
      const cells = columns.map((column, index) => {
        const cell = line[index] ?? ''
        return column.align === 'right' ? cell.padStart(widths[index] ?? 0) : cell.padEnd(widths[index] ?? 0)
      })
      return `${indent}${cells.join('  ').trimEnd()}`
    })
    .join('\n')
}

/** Breaks at spaces, or after commas and inside words that are longer than a line. */
function wrapText(text: string, width: number): string[] {
  const lines: string[] = []
  for (const paragraph of text.split('\n')) {
    let line = ''
    for (const word of paragraph.split(/(?<=[ ,])/)) {
      if (line !== '' && (line + word.trimEnd()).length > width) {
        lines.push(line.trimEnd())
        line = ''
      }
      line += word
      while (line.trimEnd().length > width) {
        lines.push(line.slice(0, width))
        line = line.slice(width)
      }
    }
    lines.push(line.trimEnd())
  }
  return lines
}

/** At most `width` characters; a cut text ends in an ellipsis. */
function cutText(text: string, width: number): string {
  return text.length <= width ? text : `${text.slice(0, Math.max(0, width - 1))}…`
}

/** Label and text side by side, the text wrapped under itself. */
function renderEntry(label: string, text: string, labelWidth: number, width: number): string {
  return wrapText(text, Math.max(20, width - labelWidth))
    .map((line, index) => `${(index === 0 ? label : '').padEnd(labelWidth)}${line}`)
    .join('\n')
}

export { type Column, cutText, printable, renderEntry, renderTable, wrapText }
