/** `espalier train CONFIG`: the first phase of a run; `compress` in the same directory goes on. */
import { fail } from '../../errors';
import { type JournalRecord, readJournal } from '../../io/journal';
import { duration, percent, rate, short } from '../../report/format';
import { columnsOf, renderTable, type Table } from '../../report/table';
import type { EpochRecord } from '../../report/types';
import { type Command, EXIT } from '../command';
import { print, printJson } from '../io';
import { withEngine } from '../job';
import { command as compress, openRunOf } from './compress';

export const command: Command = {
  args: {
    ...compress.args,
    config: { type: 'positional', required: true, description: 'a JSON config' },
  },
  examples: [
    ['espalier train examples/mnist-ibp.json', 'pre-training alone'],
    ['espalier compress examples/mnist-ibp.json', 'the rest, in the same run directory'],
  ],
  ...(compress.sections && { sections: compress.sections }),
  async run(context) {
    const { io, values, backend } = context;
    const { config, dir } = await openRunOf(context);
    try {
      await withEngine(context, (job) =>
        backend.pretrain(config, { ...job, dir, from: values.text('from') }),
      );
      const records = await readJournal(dir.paths.journal);
      const epochs = records.filter(isPretraining);
      const last = epochs.at(-1) ?? fail(dir.paths.journal, 'epochs of pre-training', 'none');
      if (values.on('json')) printJson(io, { model: dir.paths.dense, epochs });
      else print(io, `${renderTable(epochTable(last))}\n\n${dir.paths.dense}`);
      return EXIT.done;
    } finally {
      await dir.release();
    }
  },
};

function isPretraining(record: JournalRecord): record is EpochRecord {
  return record.event === 'epoch' && (record as EpochRecord).phase === 'pretrain';
}

function epochTable(last: EpochRecord): Table {
  return {
    columns: columnsOf(['after pre-training', ''], 'lr'),
    rows: [
      ['epochs', String(last.epoch)],
      ['loss', short(last.loss)],
      ['held out: benign', percent(last.heldOut.benign)],
      ['held out: robust', percent(last.heldOut.robust)],
      ['images a second', rate(last.imagesPerSecond)],
      ['last epoch took', duration(last.seconds)],
    ],
  };
}
