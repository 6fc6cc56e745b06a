import { extname } from 'node:path'
import { CSV_DESCRIPTION, csvFormat } from './csv-format.ts'
import { jsonFormat } from './json-format.ts'
import { type Description, type TableContent, type TableFormat, TableFormatError } from './table-format.ts'
import { yamlFormat } from './yaml-format.ts'

const formatNames = ['yaml', 'csv', 'json'] as const
type FormatName = (typeof formatNames)[number]

const formats = { yaml: yamlFormat, csv: csvFormat, json: jsonFormat } as const satisfies Record<FormatName, TableFormat>

/** The format that a file's name stands for; null for a name that tells nothing. */
function formatOfFile(file: string): FormatName | null {
  const extension = extname(file).slice(1).toLowerCase()
  return formatNames.find((name) => formats[name].extensions.includes(extension)) ?? null
}

export { CSV_DESCRIPTION, type Description, type FormatName, formatNames, formatOfFile, formats, type TableContent, TableFormatError }
