// The trained model of a folder as a teacher.

import type { Dataset } from '../engine/datasets/index.ts'
import { createTeacher } from '../engine/training/teacher.ts'
import { readModelFolder } from './model-folder.ts'

/** On the active backend. Throws ModelFolderError, or TeacherError where it was made for other images. */
function openTeacher(folder: string, dataset: Dataset): ReturnType<typeof createTeacher> {
  const { description, weights, statistics } = readModelFolder(folder)
  const { space, architecture, normalisation } = description
  return createTeacher({ space, architecture, normalisation, weights, statistics }, dataset)
}

export { openTeacher }
