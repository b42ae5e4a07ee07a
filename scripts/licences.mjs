/**
 * The licences of what is shipped: every package that a bundle holds, found by what the bundler says
 * it put in, and what comes in other ways. The build writes them to dist/THIRD-PARTY-LICENSES.txt, and
 * fails where a package has none.
 */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';

/** What no bundler sees, with where it is. */
const BESIDE = [
  {
    name: "UCI digits (Optical Recognition of Handwritten Digits), embedded as the data set 'digits'",
    text: `E. Alpaydin and C. Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning
Repository, 1998, https://doi.org/10.24432/C50P49, the test set of 1797 images.
Licensed under the Creative Commons Attribution 4.0 International licence (CC BY 4.0),
https://creativecommons.org/licenses/by/4.0/. Changed: images and labels are packed and reordered;
the values are the same.`,
  },
  {
    name: 'ONNX: names, numbers and types of onnx.proto, from which the reader and writer are generated',
    text: `Copyright (c) ONNX Project Contributors. Licensed under the Apache License, Version 2.0, whose
text stands under assemblyscript.`,
  },
];

/** Compiled into the kernels: the runtime of the language they are written in. */
const IN_KERNELS = ['node_modules/assemblyscript'];

/** Packages without a text of their own, with one of the same project that has it. */
const SAME_PROJECT = { '@assemblyscript/loader': 'assemblyscript' };

const LICENCE = /^(licen[cs]e|copying|notice|copyright)/i;

/** Folders of the packages of which some code is in a bundle, by esbuild's metafile. */
export function bundledPackages({ outputs }) {
  const found = new Set();
  for (const { inputs } of Object.values(outputs))
    for (const [file, { bytesInOutput }] of Object.entries(inputs)) {
      const folder = /^.*node_modules\/(@[^/]+\/)?[^/]+/.exec(file)?.[0];
      if (folder && bytesInOutput > 0) found.add(folder);
    }
  return found;
}

/** Name, version and licence texts of the package in a folder; raises an error where it has no text. */
function licenceOf(folder) {
  const { name, version, license } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
  const beside = SAME_PROJECT[name];
  const source = beside ? join(folder.slice(0, -name.length), beside) : folder;
  const files = readdirSync(source)
    .filter((file) => LICENCE.test(file))
    .flatMap((file) => {
      const path = join(source, file);
      return statSync(path).isDirectory() ? readdirSync(path).map((one) => join(path, one)) : path;
    });
  const texts = files.map((path) => readFileSync(path, 'utf8').trim()).filter(Boolean);
  if (texts.length === 0)
    throw new Error(`${folder}: expected a licence text of the bundled package ${name}, got none.`);
  return { name: `${name} ${version} (${license ?? 'see below'})`, text: texts.join('\n\n') };
}

/** The whole text, for the packages in `folders`. */
export function licences(folders) {
  const packages = [...new Set([...folders, ...IN_KERNELS])].map(licenceOf);
  packages.sort((a, b) => (a.name < b.name ? -1 : 1));
  const rule = '='.repeat(80);
  const sections = [...packages, ...BESIDE].map(
    ({ name, text }) => `${rule}\n${name}\n${rule}\n\n${text}\n`,
  );
  return [
    'espalier contains the following third-party software and data, under their own licences.\n',
    ...sections,
  ].join('\n');
}

/** A plugin of esbuild for several bundles: after each, `write` gets the text for all so far. */
export function collectLicences(write) {
  const folders = new Set();
  return {
    name: 'licences',
    setup({ initialOptions, onEnd }) {
      initialOptions.metafile = true;
      onEnd(({ metafile }) => {
        if (!metafile) return;
        for (const folder of bundledPackages(metafile)) folders.add(folder);
        write(licences(folders));
      });
    },
  };
}
