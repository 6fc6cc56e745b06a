// Pieces of Markdown.

const GENERATED = '<!-- Written by `npm run docs` from the code: changes made here are lost. -->'

/** A table; a bar inside a cell is text. */
function renderMarkdownTable(titles: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.map((cell) => cell.replaceAll('|', String.raw`\|`)).join(' | ')} |`
  return [line(titles), line(titles.map(() => '---')), ...rows.map(line)].join('\n')
}

function renderCode(text: string, language: string): string {
  return ['```' + language, text, '```'].join('\n')
}

export { GENERATED, renderCode, renderMarkdownTable }
