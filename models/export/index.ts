export { ExportError } from './export-network.ts'
export { fromStateDict } from './state-dict.ts'
export { decodeStateDict, StateDictError } from './state-dict-file.ts'
export { writeExport } from './write-export.ts'
