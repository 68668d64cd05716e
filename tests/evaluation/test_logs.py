"""Logs of this project and of other programs, in the formats that those write."""

from __future__ import annotations

import numpy as np
import pytest
from refusals import refused

from siwcc.evaluation.logs import LogColumns, read_log
from siwcc.io.errors import InputError
from siwcc.training.run import log_columns

pytestmark = pytest.mark.numeric

# Written by lightning 2.6's CSVLogger: `log("train_r2", on_step=True, on_epoch=True)` in training_step,
# `log("test_r2")` in validation_step, two steps an epoch, and `Trainer.test` at the end. Values replaced by short ones.
LIGHTNING = """epoch,final_r2,step,test_r2,train_loss,train_r2_epoch,train_r2_step,val_loss
0,,0,,1.0,,0.125,
0,,1,,1.0,,0.375,
0,,1,0.2,,,,2.0
0,,1,,,0.25,,
1,,2,,1.0,,0.5,
1,,3,,1.0,,0.5,
1,,3,0.4,,,,2.0
1,,3,,,0.5,,
2,0.5,4,,,,,
"""
# A chart exported from the page of a W&B project: https://github.com/wandb/wandb/issues/5349.
WANDB = """"epoch","coord, fold 1 - train_r2","coord, fold 1 - train_r2__MIN","coord, fold 1 - train_r2__MAX",\
"coord, fold 1 - test_r2","coord, fold 1 - test_r2__MIN","coord, fold 1 - test_r2__MAX"
"0","0.25","0.1","0.9","0.2","0.05","0.8"
"1","0.5","0.2","0.9","0.4","0.05","0.8"
""".replace("\\\n", "")
# `pandas.DataFrame.to_csv` of a run's history from the W&B API: a row for every call of `log`.
WANDB_HISTORY = """,_runtime,_timestamp,_step,epoch,train_r2,test_r2,lr
0,1.5,1696000000.5,0,0,0.25,,0.1
1,2.5,1696000001.5,1,0,,0.2,0.1
2,3.5,1696000002.5,2,1,0.5,,0.1
3,4.5,1696000003.5,3,1,,0.4,0.1
4,5.5,1696000004.5,4,,,,0.1
"""
# tensorboard 2.21, scalars_plugin.py: one scalar a file.
TENSORBOARD = """Wall time,Step,Value
1654943296.2150984,0,0.2
1654943313.7791796,1,0.4
"""
# keras 3, csv_logger.py: metrics in alphabetical order; NA where an epoch has no value.
KERAS = """epoch,loss,r2_score,val_loss,val_r2_score
0,1.5,0.25,1.25,0.2
1,1.0,0.5,1.0,0.4
2,NA,NA,NA,NA
"""


BY_NAME = LogColumns()


def curves(path, chosen=BY_NAME):
    log = read_log(path, foreign=True, chosen=chosen)
    return log.axis, log.epochs.tolist(), log.train_r2.tolist(), log.test_r2.tolist()


BOTH = ("epoch", [0, 1], [0.25, 0.5], [0.2, 0.4])


class TestForeign:
    @pytest.mark.parametrize(
        ("text", "chosen"),
        [
            (LIGHTNING, BY_NAME),
            (LIGHTNING, LogColumns(["train_r2_epoch"], ["test_r2"])),
            (WANDB, BY_NAME),
            (WANDB, LogColumns(["train_r2"], ["coord, fold 1 - test_r2"])),
            (WANDB_HISTORY, BY_NAME),
            (KERAS, LogColumns(["r2_score"], ["val_r2_score"])),
            (KERAS.replace(",", ";"), LogColumns(["r2_score"], ["VAL_R2_SCORE"])),
            (KERAS.replace("\n", "\r\n"), LogColumns(["r2_score"], ["val_r2_score"])),
        ],
    )
    def test_the_formats_that_programs_write(self, tmp_path, text, chosen):
        path = tmp_path / "log.csv"
        path.write_text(text, newline="")
        assert curves(path, chosen) == BOTH

    def test_a_scalar_of_tensorboard_is_a_log_without_training(self, tmp_path):
        path = tmp_path / "log.csv"
        path.write_text(TENSORBOARD)
        axis, epochs, train, test = curves(path, LogColumns(test=["Value"]))
        assert (axis, epochs, test) == ("Step", [0, 1], [0.2, 0.4])
        assert np.isnan(train).all()
        with refused(path, "test_r2", "Wall time, Step, Value", remedy="--test-column"):
            curves(path)
        with refused(path, "Wall time, Step, Value", remedy="--train-column"):
            curves(path, LogColumns(["loss"], ["Value"]))

    @pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 1, 2, 0), (1, 3, 0, 2)])
    def test_rows_of_an_epoch_are_merged_in_any_order(self, tmp_path, order):
        rows = ["0,0.25,", "0,,0.2", "1,0.5,", "1,,0.4"]
        path = tmp_path / "log.csv"
        path.write_text("\n".join(["epoch,train_r2,test_r2", *(rows[k] for k in order)]))
        assert curves(path) == BOTH

    def test_a_single_step_is_no_epoch(self, tmp_path):
        path = tmp_path / "log.csv"
        path.write_text(LIGHTNING)
        with refused(path, "line 3", "epoch 0", "train_r2_step"):
            curves(path, LogColumns(["train_r2_step"]))
        without = "\n".join(",".join(line.split(",")[:5] + line.split(",")[6:]) for line in LIGHTNING.splitlines())
        path.write_text(without)
        with refused(path, "line 3", "epoch 0", "train_r2_step"):
            curves(path)

    @pytest.mark.parametrize("row", ["1,0.5,0.4\n1,,0.4", "1,0.5,0.4\n1,0.5,", "1,0.5,0.4\n1.0,0.6,0.7"])
    def test_a_value_twice_is_refused(self, tmp_path, row):
        path = tmp_path / "log.csv"
        path.write_text(f"epoch,train_r2,test_r2\n{row}\n")
        with refused(path, "line 3", "epoch 1"):
            curves(path)

    @pytest.mark.parametrize(
        ("header", "listed", "option"),
        [
            ("epoch,train_r2,test_r2,test_r2_ema", "test_r2, test_r2_ema", "--test-column"),
            ("epoch,train_r2_a,test_r2,train_r2_b", "train_r2_a, train_r2_b", "--train-column"),
            ('epoch,train_r2,"run a - test_r2","run b - test_r2"', "run a - test_r2, run b - test_r2", "--test-column"),
            ("epoch,train_r2,test_r2,Test_R2", "test_r2, Test_R2", "--test-column"),
        ],
    )
    def test_several_candidates_are_listed(self, tmp_path, header, listed, option):
        path = tmp_path / "log.csv"
        path.write_text(f"{header}\n1,0.5,0.25,0.75\n")
        with refused(path, listed, remedy=option):
            curves(path)

    def test_a_name_that_fits_two_columns_is_refused(self, tmp_path):
        path = tmp_path / "log.csv"
        path.write_text('epoch,train_r2,"a - r2","b - r2"\n1,0.5,0.25,0.75\n')
        with refused(path, "a - r2, b - r2", remedy="--test-column"):
            curves(path, LogColumns(test=["r2"]))
        assert curves(path, LogColumns(test=["b - r2"]))[3] == [0.75]

    def test_the_range_of_a_curve_is_no_curve(self, tmp_path):
        path = tmp_path / "log.csv"
        path.write_text("epoch,train_r2,test_r2__MIN,test_r2__MAX\n1,0.5,0.25,0.75\n")
        with refused(path, "test_r2"):
            curves(path)
        assert curves(path, LogColumns(test=["test_r2__MAX"]))[3] == [0.75]

    @pytest.mark.parametrize(
        "cell", ["nan", "NaN", "inf", "-inf", "-Infinity", "1.01", "87", "-1e7", "1e400", "[0.5 0.6]"]
    )
    def test_no_value_of_r2(self, tmp_path, cell):
        path = tmp_path / "log.csv"
        path.write_text(f"epoch,train_r2,test_r2\n1,0.5,0.5\n2,0.5,{cell}\n")
        with refused(path, "line 3", "test_r2", cell):
            curves(path)

    @pytest.mark.parametrize("cell", ["1", "1.0000001", "-999999", "-0.5", "+.5", "5e-1"])
    def test_values_of_r2(self, tmp_path, cell):
        path = tmp_path / "log.csv"
        path.write_text(f"epoch,train_r2,test_r2\n1,0.5,{cell}\n")
        assert curves(path)[3] == [float(cell)]

    def test_columns_that_are_not_chosen_are_not_read(self, tmp_path):
        path = tmp_path / "log.csv"
        path.write_text("epoch,train_r2,test_r2,note\n1,0.5,0.25,inf\n,,,the end\n")
        assert curves(path) == ("epoch", [1], [0.5], [0.25])


class TestReadLog:
    def test_plain(self, tmp_path):
        path = tmp_path / "log.csv"
        path.write_text("epoch,train_r2,test_r2\n1,0.1,0.2\n2,0.3,-0.4\n")
        log = read_log(path)
        assert log.epochs.tolist() == [1, 2]
        assert log.train_r2.tolist() == [0.1, 0.3]
        assert log.test_r2.tolist() == [0.2, -0.4]
        assert log.outputs == 1

    @pytest.mark.parametrize("suffixes", [("_x", "_y"), ("_onset", "_end")])
    def test_outputs_of_a_log_of_ours_are_averaged(self, tmp_path, suffixes):
        path = tmp_path / "log.csv"
        path.write_text(",".join(log_columns(suffixes)) + "\n0,0.25,0.75,0.5,1.0,9,9\n")
        log = read_log(path)
        assert (log.epochs[0], log.train_r2[0], log.test_r2[0], log.outputs) == (0, 0.5, 0.75, 2)

    def test_outputs_of_another_log_are_averaged_only_if_asked_for(self, tmp_path):
        path = tmp_path / "log.csv"
        path.write_text("epoch,train_r2,test_r2_x,test_r2_y\n0,0.25,0.5,1.0\n")
        with refused(path, "test_r2_x, test_r2_y", remedy="--test-column"):
            read_log(path)
        assert read_log(path, chosen=LogColumns(test=["test_r2_y"])).test_r2.tolist() == [1.0]
        log = read_log(path, chosen=LogColumns(test=["test_r2_x", "test_r2_y"]))
        assert (log.train_r2[0], log.test_r2[0], log.outputs) == (0.25, 0.75, 2)

    @pytest.mark.parametrize(
        "content",
        [
            b"\xef\xbb\xbfepoch,train_r2,test_r2\r\n1,0.5,0.25\r\n2,0.75,0.5\r\n",
            b"epoch,train_r2,test_r2\r1,0.5,0.25\r2,0.75,0.5\r",
            b" Epoch , Train_R2, TEST_R2 \n 1 , 0.5, 0.25\n2,  0.75 ,0.5",
            b',epoch,lr,test_r2,train_r2,remark\n0,1,1e-3,0.25,5e-1,\n1,2,1e-3,0.5,0.75,"a, b"\n',
            b"\n\nepoch;train_r2;test_r2\n1;0.5;0.25\n\n2;0.75;0.5\n;;\n",
            b"epoch\ttrain_r2\ttest_r2\n1.0\t0.5\t0.25\n2.0\t0.75\t0.5\n",
            b'"epoch","train_r2","test_r2"\n2,0.75,0.5\n1,0.5,0.25\n',
        ],
    )
    def test_whoever_wrote_it(self, tmp_path, content):
        path = tmp_path / "log.csv"
        path.write_bytes(content)
        log = read_log(path)
        assert (log.epochs.tolist(), log.train_r2.tolist(), log.test_r2.tolist()) == ([1, 2], [0.5, 0.75], [0.25, 0.5])

    def test_an_empty_r2_is_nan(self, tmp_path):
        path = tmp_path / "log.csv"
        path.write_text("epoch,train_r2,test_r2\n1,0.5,\n2,nan,0.25\n3,,\n")
        log = read_log(path)
        assert log.epochs.tolist() == [1, 2]
        assert np.isnan(log.test_r2).tolist() == [True, False]
        assert np.isnan(log.train_r2).tolist() == [False, True]

    @pytest.mark.parametrize(
        ("content", "named"),
        [
            (b"", []),
            (b"epoch,train_r2,test_r2\n", []),
            (b"epoch,train_r2,loss\n1,0,0\n", ["test_r2", "loss"]),
            (b"round,train_r2,test_r2\n1,0,0\n", ["epoch", "round"]),
            (b"step,global_step,train_r2,test_r2\n1,1,0,0\n", ["step, global_step"]),
            (b"epoch,train_r2,test_r2,test_r2\n1,0,0,0\n", ["test_r2"]),
            (b"epoch,train_r2,test_r2\n1,0.5,0.5\n2,0.5\n", ["line 3", "2", "3"]),
            (b"epoch,train_r2,test_r2\n1,0.5,0.5,0.5\n", ["line 2", "4", "3"]),
            (b"epoch,train_r2,test_r2\n1,0.5,good\n", ["line 2", "test_r2", "'good'"]),
            (b"epoch;train_r2;test_r2\n1;0,5;0,5\n", ["line 2", "'0,5'"]),
            (b"epoch,train_r2,test_r2\n1,0.5,1_0\n", ["line 2", "'1_0'"]),
            (b"epoch,train_r2,test_r2\n1e300,0.5,0.5\n", ["line 2", "'1e300'"]),
            (b"epoch,train_r2,test_r2\ninf,0.5,0.5\n", ["line 2", "'inf'"]),
            (b"epoch,train_r2,test_r2\n1,0,0\n\nlast,0.5,0.5\n", ["line 4", "epoch", "'last'"]),
            (b"epoch,train_r2,test_r2\n,0.5,0.5\n", ["line 2", "epoch", "''"]),
            (b"epoch,train_r2,test_r2\n1,0,0\n2,0,0\n1.0,0,0\n", ["line 4", "epoch 1"]),
            (b"epoch,train_r2,test_r2\n1,0,\xff\n", ["UTF-8"]),
            (b"epoch,train_r2,test_r2\n" + b"1" * 200_000 + b",0,0\n", ["line 2"]),
        ],
    )
    def test_damage_is_named_with_its_place(self, tmp_path, content, named):
        path = tmp_path / "log.csv"
        path.write_bytes(content)
        with pytest.raises(InputError) as caught:
            read_log(path)
        assert caught.value.where == str(path)
        assert [part for part in named if part not in caught.value.problem] == []

    def test_a_missing_file_or_a_folder_is_an_input_error(self, tmp_path):
        for path in (tmp_path / "absent.csv", tmp_path):
            with pytest.raises(InputError) as caught:
                read_log(path)
            assert caught.value.where == str(path)
