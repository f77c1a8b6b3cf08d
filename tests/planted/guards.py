"""The guards of section 5 of docs/design.md, and how each is taken out."""

from __future__ import annotations

from dataclasses import dataclass

from tests.planted.edits import Edit


@dataclass(frozen=True)
class Guard:
    """One guard."""

    what: str
    where: str
    setting: str
    fires: str
    edits: tuple[Edit, ...]


D, F, K, B, L, S = (
    f"carina_tasks.{name}." for name in ("decisions", "flows", "kube", "broker", "lvm", "store")
)
FAILOVER, SWEEPS = "test_flows_failover.py::", "test_flows_sweeps.py::"
FAILBACK = "test_flows_failback.py::"
E, ENROLMENT = "carina_tasks.enrolment.", "test_enrolment.py::"
REFUSED, GUARDED = "result `refused`, log", "result `refused`, Event, guards_total"
SKIPPED = "reason in the result"

GUARDS = (
    Guard(
        "a deleted node is absent twice",
        "node_loss.absent",
        "CONFIRM_ABSENCE",
        REFUSED,
        (
            Edit(
                D + "node_loss:absent",
                "second or first",
                "first",
                FAILOVER + "test_a_node_that_comes_back_in_the_confirmation_is_not_rebuilt",
            ),
            Edit(
                D + "node_loss:absent",
                "second or first",
                "second",
                "test_node_loss.py::test_a_node_found_once_is_not_absent",
            ),
        ),
    ),
    Guard(
        "NotReady has lasted",
        "node_loss.not_ready",
        "NOT_READY_AFTER",
        REFUSED,
        (
            Edit(
                D + "node_loss:not_ready",
                "age < needed",
                "age < 0",
                "test_node_loss.py::test_without_witnesses_the_short_wait_counts_to_the_second",
            ),
            Edit(
                D + "node_loss:not_ready",
                "node.is_ready",
                "False",
                "test_node_loss.py::test_a_ready_node_is_not_lost_whatever_its_witnesses_say",
            ),
        ),
    ),
    Guard(
        "longer while a witness reports that it lives",
        "node_loss.not_ready",
        "NOT_READY_WITNESSED, LEASE_FRESH",
        REFUSED,
        (
            Edit(
                D + "node_loss:not_ready",
                "rules.witnessed if witnesses else rules.after",
                "rules.after",
                "test_node_loss.py::test_each_witness_alone_lengthens_the_wait",
            ),
            Edit(
                D + "node_loss:not_ready",
                "('its Lease', lease_alive)",
                "('its Lease', False)",
                "test_node_loss.py::test_each_witness_alone_lengthens_the_wait",
            ),
            Edit(
                D + "node_loss:not_ready",
                "worker_alive",
                "False",
                FAILOVER + "test_a_worker_that_still_answers_gives_the_node_more_time",
            ),
        ),
    ),
    Guard(
        "mass failure, and never without a healthy target",
        "guards.mass_failure",
        "MASS_FAILURE_SHARE",
        "stop, " + GUARDED,
        (
            Edit(
                D + "guards:_mass_failure",
                "len(lost) <= round(share * total, 6)",
                "True",
                "test_guards.py::test_two_of_three_stops",
            ),
            Edit(
                D + "guards:_mass_failure",
                "lost and (not healthy)",
                "False",
                "test_guards.py::test_without_a_healthy_target_it_stops_whatever_the_share",
            ),
            Edit(
                F + "failover.loss:_stop",
                "ctx.state.write(latched=verdict.reason)",
                "pass",
                FAILOVER + "test_mass_failure_stops_and_latches",
            ),
            Edit(
                F + "failover.lost_node:_fail_over_allowed",
                "check_mass_failure(ctx, snapshot, may)",
                "frozenset(may)",
                FAILOVER + "test_mass_failure_stops_and_latches",
            ),
            Edit(
                F + "failover.lost_node:_fail_over_allowed",
                "one.node in allowed",
                "True",
                "test_lost_together.py::test_only_what_the_guard_lets_go_is_failed_over",
            ),
            Edit(
                F + "failover.resume:resume",
                "check_mass_failure(ctx, snapshot)",
                "pass",
                FAILOVER + "test_mass_failure_stops_migration_and_resume_too",
            ),
            Edit(
                F + "failover.loss:_stop",
                "isinstance(verdict, guards.GuardWaits)",
                "False",
                FAILOVER + "test_after_an_outage_of_the_api_server_nothing_latches",
            ),
            Edit(
                F + "failover.loss:_stop",
                "ctx.cluster.node(name)[0] is not None",
                "False",
                FAILOVER + "test_a_list_that_lacks_nodes_latches_nothing",
            ),
        ),
    ),
    Guard(
        "pause and mass-failure stop come first",
        "Context.check_pause",
        "ConfigMap",
        GUARDED,
        (
            Edit(
                F + "failover.lost_node:refusable",
                "ctx.check_pause(node)",
                "pass",
                FAILOVER + "test_pause_and_latch_come_before_everything",
            ),
            Edit(
                F + "failover.resume:resume",
                "ctx.approved_alone()",
                "None",
                FAILOVER + "test_pause_and_latch_come_before_everything",
            ),
            Edit(
                F + "sweeps.local_volumes:sweep_local_volumes",
                "ctx.check_pause()",
                "pass",
                SWEEPS + "test_pause_and_latch_come_before_everything",
            ),
            Edit(
                F + "sweeps.local_volumes:_sweep_some",
                "ctx.check_pause()",
                "pass",
                "test_sweep_stream.py::test_a_pause_ends_a_sweep_that_is_under_way",
            ),
            Edit(
                F + "sweeps.logic_volumes:sweep_logic_volumes",
                "ctx.check_pause()",
                "pass",
                SWEEPS + "test_pause_and_latch_come_before_everything",
            ),
            Edit(
                F + "context:Context.approved_alone",
                "state.latched and (not state.approved)",
                "False",
                FAILOVER + "test_pause_and_latch_come_before_everything",
            ),
        ),
    ),
    Guard(
        "only the approved node is failed over",
        "Context.check_pause",
        "ConfigMap",
        GUARDED,
        (
            Edit(
                F + "context:not_approved",
                "only is None or node in only",
                "True",
                "test_maintenance.py::test_one_approved_node_is_failed_over_and_no_other",
            ),
            Edit(
                F + "failover.loss:check_mass_failure",
                "approved - lost",
                "False",
                "test_maintenance.py::test_an_approval_ends_with_the_loss_that_it_was_for",
            ),
        ),
    ),
    Guard(
        "a binding that a watch shows is news",
        "binding.shown",
        "",
        "the claim and the PV are read by name",
        (
            Edit(
                F + "failover.binding:shown",
                "seen.meta.annotations.get(well_known.TOUCH) == binding.touched",
                "True",
                "test_bind.py::test_a_bound_of_before_is_no_news",
            ),
            Edit(
                F + "failover.binding:shown",
                "now.meta.uid == pv.meta.uid",
                "True",
                "test_bind.py::test_the_pv_of_before_is_no_news",
            ),
        ),
    ),
    Guard(
        "one is tried for all only where nothing can be kept",
        "rehearse._class_of",
        "",
        "every volume is tried",
        (
            Edit(
                F + "failover.rehearse:_class_of",
                "journal.kind == 'rebuild'",
                "True",
                "test_admission_classes.py::test_each_volume_of_a_node_that_may_come_back_is_tried",
            ),
            Edit(
                F + "failover.rehearse:_class_of",
                "not journal.together",
                "True",
                "test_one_object.py::test_nothing_of_a_pod_moves_when_one_of_its_volumes_may_not",
            ),
        ),
    ),
    Guard(
        "planned absence",
        "node_loss.in_maintenance, node_loss.not_ready",
        "NOT_READY_CORDONED",
        "result `refused`, Event",
        (
            Edit(
                D + "node_loss:not_ready",
                "node.cordoned",
                "False",
                "test_node_loss.py::test_a_cordoned_node_waits_longest",
            ),
            Edit(
                D + "node_loss:not_ready",
                "node.out_of_service and (not witnesses)",
                "node.out_of_service",
                "test_node_loss.py::test_out_of_service_does_not_wait_unless_a_witness_answers",
            ),
            Edit(
                F + "failover.loss:_leave_out_planned",
                "asked & entries.keys()",
                "()",
                "test_maintenance.py::test_nothing_of_a_node_in_maintenance_is_failed_over",
            ),
            Edit(
                F + "failover.loss:judge_not_ready",
                "entry is not None and (not fresh.is_ready)",
                "False",
                "test_maintenance.py::test_nothing_of_a_node_in_maintenance_is_failed_over",
            ),
        ),
    ),
    Guard(
        "an LV counts once lvm has wiped it",
        "local_volume.decide_create, volumes.create_volumes",
        "",
        "created again",
        (
            Edit(
                D + "local_volume:_create_one",
                "found.unfinished",
                "False",
                "test_local_volume.py::test_an_unfinished_lv_is_created_again",
            ),
            Edit(
                D + "removal:discard",
                "not trash_at or removal.lv.unfinished",
                "not trash_at",
                "test_sim_lvm_adapter.py",
            ),
            Edit(
                D + "removal:unfit_to_return",
                "lv.unfinished",
                "False",
                "test_local_volume.py::test_an_unfinished_lv_does_not_come_back_from_the_trash",
            ),
            Edit(
                L + "volumes:_finish_commands",
                "stderr is None or not commands.created(wanted.name, output)",
                "stderr is None",
                "test_sim_lvm_adapter.py",
            ),
            Edit(
                L + "commands:create",
                "well_known.TAG_CREATING",
                "well_known.TAG_INTENT",
                "test_sim_lvm_adapter.py",
            ),
        ),
    ),
    Guard(
        "no LV is adopted by its name",
        "local_volume.decide_create",
        "",
        "answer `taken`",
        (
            Edit(
                D + "local_volume:_create_one",
                "ours in found.tags",
                "True",
                "test_local_volume.py::test_an_lv_is_never_adopted_by_its_name",
            ),
            Edit(
                D + "rebuild:_local_step",
                "RebuildWaits(f'{view.journal.target}: {view.lv.reason}')",
                "RecordStaleLv(view.lv.uuid)",
                "test_rebuild.py::test_an_lv_that_the_rebuild_did_not_create_is_named_in_the_journal_first",
            ),
        ),
    ),
    Guard(
        "an LV without a device is no success",
        "rebuild.next_step",
        "",
        "Wait, with the reason",
        (
            Edit(
                D + "rebuild:_local_step",
                "view.lv.major < 0",
                "False",
                "test_rebuild.py::test_an_lv_without_a_device_is_no_success",
            ),
            Edit(
                L + "results:created",
                "found is None or not ours or found.size < size or found.inactive",
                "found is None or not ours or found.size < size",
                "test_sim_lvm_adapter.py",
            ),
        ),
    ),
    Guard(
        "only annotated pods leave a NotReady node",
        "selection.of_not_ready_node",
        "annotation",
        SKIPPED,
        (
            Edit(
                D + "selection:_unwilling",
                "not pod.migration_allowed",
                "False",
                FAILOVER + "test_migration_moves_the_annotated_and_touches_nothing_else",
            ),
            Edit(
                D + "selection:_only_annotated",
                "not pods",
                "False",
                "test_selection.py::test_not_ready_takes_only_volumes_of_annotated_pods",
            ),
        ),
    ),
    Guard(
        "which pods are ended, and once",
        "eviction.judge_pod",
        "annotation",
        "left, with a reason",
        (
            Edit(
                D + "eviction:judge_pod",
                "pod.finished",
                "False",
                "test_eviction.py::test_a_finished_pod_is_never_ended",
            ),
            Edit(
                D + "eviction:judge_pod",
                "kind == 'migrate' and (not pod.migration_allowed)",
                "False",
                "test_eviction.py::test_on_a_not_ready_node_each_of_these_is_left_with_its_reason",
            ),
            Edit(
                D + "eviction:judge_pod",
                "pod.mirror",
                "False",
                "test_eviction.py::test_on_a_not_ready_node_each_of_these_is_left_with_its_reason",
            ),
            Edit(
                D + "eviction:judge_pod",
                "pod.failed_by_us and (not pod.deleted_at_once)",
                "pod.failed_by_us",
                "test_eviction.py::test_each_half_of_an_eviction_is_done_once",
            ),
            Edit(
                D + "eviction:judge_pod",
                "alive or kind == 'failback'",
                "False",
                "test_eviction.py::test_on_a_node_that_is_back_the_pod_gets_its_grace",
            ),
        ),
    ),
    Guard(
        "every pod is seen: two lists, and a count",
        "ask_nodes.confirmed",
        "",
        "the task is tried again",
        (
            Edit(
                F + "ask_nodes:confirmed",
                "{pod.meta.uid: pod for pod in snapshot.pods}",
                "{}",
                FAILOVER + "test_a_list_of_pods_that_was_cut_short_moves_nothing_of_those_it_lacks",
            ),
            Edit(
                F + "ask_nodes:confirmed",
                "total is None or total <= len(pods)",
                "True",
                FAILOVER + "test_lists_of_pods_that_hold_fewer_than_are_counted_begin_nothing",
            ),
            Edit(
                F + "failover.single_volume:_rebuild_volume",
                "ask_nodes.confirmed(ctx, ctx.cluster.observe(), [node])",
                "ctx.cluster.observe()",
                "test_single_volume.py::test_a_pod_that_lists_lack_still_uses_it",
            ),
        ),
    ),
    Guard(
        "who may leave a lost target",
        "selection.of_lost_target",
        "annotation",
        SKIPPED,
        (
            Edit(
                D + "selection:of_lost_target",
                "still_empty(snapshot, logic_volume)",
                "True",
                "test_selection.py::test_after_that_it_is_a_volume_of_that_node_like_any_other",
            ),
            Edit(
                F + "failover.replanning:_stays",
                "isinstance(verdict, selection.Skip)",
                "False",
                FAILOVER + "test_a_volume_that_was_written_to_meanwhile_is_not_planned_again",
            ),
            Edit(
                D + "rebuild:_local_step",
                "on_target or view.lv.transient",
                "view.lv.transient",
                "test_rebuild.py::test_a_volume_that_a_pod_may_have_written_to_is_not_planned_again",
            ),
        ),
    ),
    Guard(
        "what follows a volume of its pod",
        "colocation.separated",
        "annotation",
        SKIPPED,
        (
            Edit(
                D + "colocation:_still",
                "key in left",
                "left and (key := min(left))",
                "test_colocation.py::test_it_stays_where_it_is",
            ),
            Edit(
                D + "colocation:_follows",
                "isinstance(selection.of_companion(snapshot, logic_volume, journal), "
                "selection.Wanted)",
                "True",
                "test_colocation.py::test_it_stays_where_it_is",
            ),
            Edit(
                F + "failover.resume:_advance_journals",
                "next((name for name in journal.together if name in left), '')",
                "''",
                "test_colocation.py::test_while_it_cannot_follow_the_other_is_not_begun",
            ),
            Edit(
                F + "failover.planning:begin",
                "[name for name, one in views.items() if unwritten & set(one.journal.together)]",
                "[]",
                "test_colocation.py::test_a_volume_is_not_begun_while_the_other_of_its_pod_has_no_journal",
            ),
        ),
    ),
    Guard(
        "nothing needs an orphan",
        "orphans.judge_local_volume",
        "MANAGED_GROUPS",
        "kept, counted",
        (
            Edit(
                D + "orphans:_wanted",
                "if logic_volume is None:\n    return f'PersistentVolume {name} exists'",
                "if False:\n    return f'PersistentVolume {name} exists'",
                "test_orphans.py::test_whoever_may_want_it_keeps_it_and_takes_its_mark_off",
            ),
            Edit(
                D + "orphans:_wanted",
                "logic_volume.journalled",
                "False",
                "test_orphans.py::test_whoever_may_want_it_keeps_it_and_takes_its_mark_off",
            ),
            Edit(
                D + "orphans:_wanted",
                "logic_volume.node == node",
                "False",
                "test_orphans.py::test_whoever_may_want_it_keeps_it_and_takes_its_mark_off",
            ),
            Edit(
                D + "orphans:_wanted",
                "not pv.nodes or node in pv.nodes",
                "False",
                "test_orphans.py::test_whoever_may_want_it_keeps_it_and_takes_its_mark_off",
            ),
            Edit(
                D + "orphans:judge_local_volume",
                "if exotic:\n    return KeepLv(exotic, 'not-plain')",
                "if False:\n    return KeepLv(exotic, 'not-plain')",
                "test_orphans.py::test_what_is_not_a_plain_closed_volume_of_carinas_is_kept",
            ),
            Edit(
                D + "orphans:judge_local_volume",
                "lv.is_open",
                "False",
                "test_orphans.py::test_what_is_not_a_plain_closed_volume_of_carinas_is_kept",
            ),
        ),
    ),
    Guard(
        "its age, its mark and the age of that",
        "orphans.judge_local_volume",
        "ORPHAN_GRACE, ORPHAN_MARK_AGE",
        "kept, counted",
        (
            Edit(
                D + "orphans:judge_local_volume",
                "now - lv.created < rules.grace",
                "False",
                "test_orphans.py::test_a_young_volume_is_kept_even_when_marked",
            ),
            Edit(
                D + "orphans:judge_local_volume",
                "now - marked < rules.mark_age",
                "False",
                "test_orphans.py::test_an_orphan_is_marked_first_and_removed_by_a_later_sweep",
            ),
            Edit(
                D + "orphans:judge_local_volume",
                "lv.marked_at",
                "lv.marked_at or 0",
                "test_orphans.py::test_no_age_replaces_the_mark",
            ),
        ),
    ),
    Guard(
        "asked by name before a mark and before a removal",
        "sweep_local._judge",
        "",
        "kept, counted",
        (
            Edit(
                F + "sweeps.local_volumes:_judge",
                "orphans.MarkOrphan | orphans.RemoveOrphan",
                "orphans.MarkOrphan",
                SWEEPS + "test_before_removal_both_objects_are_asked_for_by_name",
            ),
            Edit(
                F + "sweeps.local_volumes:_judge",
                "orphans.MarkOrphan | orphans.RemoveOrphan",
                "orphans.RemoveOrphan",
                SWEEPS + "test_before_a_mark_both_objects_are_asked_for_by_name",
            ),
        ),
    ),
    Guard(
        "the node looks again: UUID, mark, closed, plain",
        "removal.decide_remove",
        "",
        "`failed` in the result",
        (
            Edit(
                D + "removal:agreeing",
                "found.uuid != target.uuid",
                "False",
                "test_removal.py::test_what_is_not_provably_an_orphan_stays",
            ),
            Edit(
                D + "removal:_remove_one",
                "found.marked_at is None",
                "False",
                "test_removal.py::test_what_is_not_provably_an_orphan_stays",
            ),
            Edit(
                D + "removal:removable",
                "lv.is_open",
                "False",
                "test_removal.py::test_what_is_not_provably_an_orphan_stays",
            ),
        ),
    ),
    Guard(
        "and lvm itself, under the group's lock",
        "lvm/commands.py: _may_go",
        "",
        "`failed` in the result",
        (
            Edit(
                L + "commands:_may_go",
                "[_same(decision.lv), 'lv_device_open!=\"open\"', 'lv_active!=\"unknown\"', "
                "'lv_role=[\"public\"]', f'lv_layout={layout}']",
                "['lv_device_open!=\"open\"', 'lv_active!=\"unknown\"', 'lv_role=[\"public\"]', "
                "f'lv_layout={layout}']",
                "test_sim_lvm_adapter.py",
            ),
            Edit(
                L + "commands:_may_go",
                "if decision.tag:\n    conditions.append(f'lv_tags={{\"{decision.tag}\"}}')",
                "if False:\n    conditions.append(f'lv_tags={{\"{decision.tag}\"}}')",
                "test_sim_lvm_adapter.py",
            ),
        ),
    ),
    Guard(
        "a pod that reads the device gets nothing but zeroes",
        "local_volume.decide_create, volumes.create_volumes",
        "ZERO_BLOCK",
        "`zeroing` in the result",
        (
            Edit(
                L + "volumes:_finish_commands",
                "well_known.TAG_ZEROING if wanted.zero else well_known.TAG_INTENT",
                "well_known.TAG_INTENT",
                "test_sim_lvm_adapter.py",
            ),
            Edit(
                L + "volumes:_finish_commands",
                "done if isinstance(look, Zeroed) else []",
                "done",
                "test_sim_lvm_adapter.py",
            ),
            Edit(
                D + "local_volume:_create_one",
                "RefuseLv(NOT_ZEROED) if wanted.zero else ExtendLv(found, size, others)",
                "ExtendLv(found, size, others)",
                "test_sim_lvm_adapter.py",
            ),
            Edit(
                D + "local_volume:_bring_back",
                "wanted.zero and found.size < size",
                "False",
                "test_sim_lvm_adapter.py",
            ),
            Edit(
                F + "failover.steps:_zero",
                "ctx.settings.zero_block and pv_manifest.is_block(view.journal.manifest) and (not "
                "shown)",
                "ctx.settings.zero_block and False",
                FAILOVER + "test_the_device_of_a_block_volume_is_zeroed_before_the_pv_is_replaced",
            ),
            Edit(
                D + "failback:judge_copy",
                "zero_block and pv.block",
                "False",
                "test_failback.py::test_a_smaller_copy_that_is_read_as_a_device_is_not_extended",
            ),
        ),
    ),
    Guard(
        "a name that may mean two things is never guessed at, and a confirmation names one volume",
        "targets.find, targets.one_volume",
        "",
        "the command ends with 2",
        (
            Edit(
                D + "targets:find",
                "len(found) == 1",
                "found",
                "test_targets.py::test_an_ambiguous_word_lists_what_it_may_mean",
            ),
            Edit(
                D + "targets:one_volume",
                "len(target.volumes) == 1",
                "target.volumes",
                "test_oncall.py::test_a_confirmation_that_means_several_volumes_is_none",
            ),
        ),
    ),
    Guard(
        "a failback uses the LV that the operator confirmed, or none",
        "failback.judge_copy, local_volume.decide_create",
        "",
        "result `refused`, or given up",
        (
            Edit(
                F + "failover.failback:_failback",
                "[copy for copy in possible if copy[1].name not in confirmed]",
                "[]",
                FAILBACK + "test_nothing_happens_until_the_name_of_each_volume_confirms_it",
            ),
            Edit(
                D + "failback:_lv_forbids",
                "_of_another(lv, logic_volume)",
                "''",
                "test_failback.py::test_a_copy_that_cannot_be_the_volume_says_why",
            ),
            Edit(
                F + "failover.failback:_failback",
                "ctx.check_pause()",
                "pass",
                FAILBACK + "test_a_node_that_was_approved_alone_is_no_excuse",
            ),
            Edit(
                D + "local_volume:_bring_back",
                "found.is_open and (not wanted.in_use)",
                "False",
                "test_local_volume.py::test_an_old_copy_that_is_not_what_was_asked_for_is_refused",
            ),
            Edit(
                D + "local_volume:_bring_back",
                "unfit_to_return(found)",
                "None",
                "test_local_volume.py::test_an_old_copy_that_is_not_what_was_asked_for_is_refused",
            ),
            Edit(
                D + "local_volume:_bring_back",
                "wanted.name not in (found.name, found.old_name)",
                "False",
                "test_local_volume.py::test_an_old_copy_that_is_not_what_was_asked_for_is_refused",
            ),
            Edit(
                D + "rebuild:_local_step",
                "journal.failback and view.lv.uuid != journal.copy",
                "False",
                FAILBACK + "test_an_answer_about_another_lv_is_not_believed",
            ),
            Edit(
                F + "failover.replanning:_stays",
                "found.journal.failback and (not found.journal.given_up) and "
                "selection.still_empty(snapshot, found)",
                "False and selection.still_empty(snapshot, found)",
                FAILBACK + "test_a_copy_that_cannot_be_restored_leaves_the_volume_where_it_is",
            ),
        ),
    ),
    Guard(
        "a failback keeps the volumes of a pod together",
        "advance._all_or_none, steps.act",
        "",
        "given up",
        (
            Edit(
                F + "failover.advance:_all_or_none",
                "need.journal.failback and other and (name not in failed)",
                "False",
                FAILBACK + "test_one_copy_that_cannot_be_restored_gives_up_the_other_of_its_pod",
            ),
            Edit(
                F + "failover.steps:_with_pv",
                "_parted_from(ctx, view.journal)",
                "''",
                FAILBACK + "test_a_volume_whose_other_was_given_up_meanwhile_is_given_up",
            ),
        ),
    ),
    Guard(
        "a volume does not leave a target that has another of its pod",
        "colocation.held_by",
        "",
        "it waits",
        (
            Edit(
                F + "failover.replanning:_stays",
                "colocation.held_by(snapshot, found.journal, maintenance)",
                "''",
                FAILOVER
                + "test_a_volume_does_not_leave_a_target_that_already_has_another_of_its_pod",
            ),
        ),
    ),
    Guard(
        "a list that lacks a PV proves nothing",
        "ask_nodes.with_pvs_by_name",
        "",
        "read by name",
        (
            Edit(
                F + "failover.replanning:replan",
                "snapshot = ask_nodes.with_pvs_by_name(ctx, snapshot, by_name.keys() | companions)",
                "pass",
                FAILOVER + "test_a_list_that_lacks_a_pv_is_no_proof_that_a_volume_is_empty",
            ),
        ),
    ),
    Guard(
        "a failback ends no pod by force",
        "eviction.judge_pod",
        "",
        "normal grace period",
        (
            Edit(
                D + "eviction:judge_pod",
                "alive or kind == 'failback'",
                "alive",
                FAILBACK + "test_a_pod_on_a_node_that_is_lost_meanwhile_is_not_ended_by_force",
            ),
        ),
    ),
    Guard(
        "an LV that lvm or an administrator is working on",
        "report.at_work",
        "",
        "kept, `failed` in the result",
        (
            Edit(
                D + "removal:removable",
                "lv.at_work",
                "False",
                "test_removal.py::test_what_lvm_is_working_on_stays",
            ),
            Edit(
                D + "orphans:judge_local_volume",
                "if lv.at_work:\n    return KeepLv(f'it is left alone until that has ended: "
                "{lv.at_work}', 'at-work')",
                "pass",
                "test_orphans.py::test_what_lvm_is_working_on_is_left_alone",
            ),
            Edit(
                D + "local_volume:_create_one",
                "if found.at_work:\n    return left_alone(found)",
                "pass",
                "test_local_volume.py::test_what_lvm_is_working_on_is_left_alone",
            ),
            Edit(
                L + "commands:_same",
                'f\'lv_uuid="{uuid}" && vg_name="{group}" && '
                'lv_name="{names.logical_volume_name(name)}" && {state}\'',
                'f\'lv_uuid="{uuid}" && vg_name="{group}" && '
                'lv_name="{names.logical_volume_name(name)}"\'',
                "test_sim_lvm_adapter.py",
            ),
        ),
    ),
    Guard(
        "orphans of one sweep and node",
        "guards.orphan_cap",
        "ORPHAN_LIMIT, ORPHAN_SHARE",
        "Event, guards_total",
        (
            Edit(
                D + "guards:orphan_cap",
                "orphans <= allowed",
                "True",
                "test_guards.py::test_above_the_cap_only_the_confirmed_number_goes",
            ),
            Edit(
                D + "guards:orphan_cap",
                "orphans == confirmed",
                "confirmed",
                "test_guards.py::test_a_person_confirms_the_very_number",
            ),
            Edit(
                F + "sweeps.local_volumes:_act_on",
                "isinstance(judged.cap, guards.GuardStops)",
                "False",
                SWEEPS + "test_above_the_cap_nothing_is_removed_until_a_person_names_the_number",
            ),
        ),
    ),
    Guard(
        "the trash is kept for its time",
        "orphans.judge_trash",
        "TRASH_RETENTION",
        "kept",
        (
            Edit(
                D + "orphans:judge_trash",
                "age < retention",
                "False",
                "test_orphans.py::test_the_trash_is_purged_after_its_retention",
            ),
            Edit(
                D + "orphans:judge_trash",
                "rules.retention if logic_volume is None else max(rules.retention, "
                "rules.old_copies)",
                "rules.retention if True else 0.0",
                "test_orphans.py::test_an_old_copy_of_a_failover_is_kept_for_longer",
            ),
        ),
    ),
    Guard(
        "a LogicVolume that may be needed",
        "logic_volumes.judge_logic_volume",
        "LOGIC_VOLUME_GRACE",
        "kept, noted",
        (
            Edit(
                D + "logic_volumes:judge_logic_volume",
                "logic_volume.journalled",
                "False",
                "test_logic_volumes.py::test_what_is_young_journalled_owned_or_not_ours_is_kept",
            ),
            Edit(
                D + "logic_volumes:judge_logic_volume",
                "if meta.owners:\n    return KeepLogicVolume(f'it belongs to {meta.owners[0].kind} "
                "{meta.owners[0].name}')",
                "if False:\n    return KeepLogicVolume(f'it belongs to {meta.owners[0].kind} "
                "{meta.owners[0].name}')",
                "test_logic_volumes.py::test_what_is_young_journalled_owned_or_not_ours_is_kept",
            ),
            Edit(
                D + "logic_volumes:judge_logic_volume",
                "now - meta.created < grace",
                "False",
                "test_logic_volumes.py::test_what_is_young_journalled_owned_or_not_ours_is_kept",
            ),
            Edit(
                D + "logic_volumes:judge_logic_volume",
                "claim is not None and claim.pv_name == logic_volume.name",
                "False",
                "test_logic_volumes.py::test_a_claim_that_still_names_it_keeps_it",
            ),
            Edit(
                F + "sweeps.logic_volumes:_judge",
                "ctx.cluster.persistent_volume",
                "snapshot.persistent_volumes.get",
                SWEEPS + "test_the_pv_is_asked_for_by_name_before_anything_goes",
            ),
        ),
    ),
    Guard(
        "an error is never absence",
        "Api._answer, Api._pages",
        "",
        "the task fails or is tried again",
        (
            Edit(
                K + "responses:error_of",
                "reason == 'NotFound' and details.get('name') == wanted",
                "True",
                "test_kube_api.py::test_no_other_404_is_absence",
            ),
            Edit(
                K + "api:Api._pages",
                "not more",
                "True",
                "test_kube_api.py::test_a_list_is_all_its_pages",
            ),
            Edit(
                F + "sweeps.local_volumes:_judge",
                "name in snapshot.unreadable_names",
                "False",
                SWEEPS + "test_an_unreadable_logic_volume_keeps_its_local_volume",
            ),
        ),
    ),
    Guard(
        "every write names the UID, and the version where order matters",
        "kube/writes.py: _guarded",
        "",
        "read again, decided again",
        (
            Edit(
                K + "writes:_guarded",
                "{'uid': meta.uid, 'resourceVersion': meta.version}",
                "{'uid': meta.uid}",
                "test_writes.py::test_an_object_that_changed_is_never_written",
            ),
            Edit(
                K + "writes:_guarded",
                "{'uid': meta.uid, 'resourceVersion': meta.version}",
                "{'resourceVersion': meta.version}",
                "test_writes.py::test_an_object_of_another_uid_is_never_written",
            ),
            Edit(
                K + "api:Api.delete",
                "{'uid': uid} | ({'resourceVersion': version} if version else {})",
                "{}",
                "test_kube_api.py::test_a_deletion_carries_its_preconditions",
            ),
        ),
    ),
    Guard(
        "every task expires",
        "ControlTask, NodeCalls._send",
        "NODE_DEADLINE",
        "the task is revoked",
        (
            Edit(
                B + "calls:NodeCalls._send",
                "now.seconds",
                "None",
                "test_calls.py::test_a_question_expires_with_its_deadline_and_names_its_node",
            ),
            Edit(
                "carina_tasks.tasks.failover:rebuild_node",
                "300",
                "None",
                "test_tasks_base.py::test_every_control_task_expires",
            ),
        ),
    ),
    Guard(
        "what a node answers",
        "read_answer, answers.accept",
        "ANSWER_LIMIT",
        "Event, guards_total",
        (
            Edit(
                S + "answers:read_answer",
                "len(data) > limit",
                "False",
                "test_calls.py::test_an_answer_just_above_the_limit_is_refused_and_one_at_it_is_read",
            ),
            Edit(
                S + "answers:read_answer",
                "value.node != node",
                "False",
                "test_calls.py::test_a_hostile_answer_is_a_bad_answer",
            ),
            Edit(
                S + "answers:_text_of",
                "len(message) > _LONGEST_MESSAGE",
                "False",
                "test_answers.py::test_a_long_exception_is_not_built",
            ),
            Edit(
                D + "answers:accept",
                "key not in open_ and (not beside)",
                "False",
                "test_answers.py::test_a_removal_that_nobody_asked_for_is_not_recorded_as_one",
            ),
            Edit(
                D + "answers:accept",
                "key in open_ and done.outcome not in words.asked",
                "False",
                "test_answers.py::test_a_node_that_answers_a_creation_with_another_word_has_created_nothing",
            ),
        ),
    ),
    Guard(
        "manually: unused, on a live node, its name typed out",
        "single_volume.live, unused, forced",
        "argument",
        REFUSED,
        (
            Edit(
                D + "single_volume:forced",
                "force == logic_volume.name",
                "True",
                "test_single_volume.py::test_it_is_refused",
            ),
            Edit(
                D + "single_volume:unused",
                "pod.phase != 'Pending'",
                "False",
                "test_single_volume.py::test_it_is_refused",
            ),
            Edit(
                D + "single_volume:unused",
                "lv is not None and lv.is_open",
                "False",
                "test_single_volume.py::test_it_is_refused",
            ),
            Edit(
                D + "single_volume:live",
                "not node.is_ready",
                "False",
                "test_single_volume.py::test_it_is_refused",
            ),
            Edit(
                F + "failover.single_volume:_rebuild_volume",
                "logic_volume is None or logic_volume.node != node",
                "logic_volume is None",
                "test_single_volume.py::test_a_message_that_comes_twice_moves_it_once",
            ),
        ),
    ),
    Guard(
        "a journal that cannot be read, of a later release perhaps, is left alone",
        "objects.logic_volume_of",
        "",
        "Event `JournalUnreadable`",
        (
            Edit(
                "carina_tasks.model.objects:logic_volume_of",
                "exc.message",
                "''",
                "test_samples.py::test_a_journal_of_a_later_release_is_left_alone",
            ),
        ),
    ),
    Guard(
        "the source's pods are listed again before the journal is dropped",
        "rebuild.asks_for_last_look",
        "",
        "the pod is evicted too",
        (
            Edit(
                D + "rebuild:asks_for_last_look",
                "isinstance(step, DropJournal)",
                "False",
                FAILOVER
                + "test_a_pod_that_is_bound_to_the_source_at_the_last_moment_is_evicted_too",
            ),
        ),
    ),
    Guard(
        "a shared reading begins after the question",
        "shared.SharedReading.get",
        "",
        "a later reading is waited for",
        (
            Edit(
                K + "shared:SharedReading.get",
                "self._next = None",
                "pass",
                "test_shared_reading.py::test_a_question_during_a_reading_gets_a_later_one",
            ),
        ),
    ),
    Guard(
        "nothing unchecked reaches lvm",
        "lvm/command.py: _argument, _shell_word",
        "",
        "BadInput",
        (
            Edit(
                L + "command:_argument",
                "not isinstance(value, str) or not value or len(value) > 4096 or (not "
                "value.isprintable())",
                "not isinstance(value, str) or not value or len(value) > 4096",
                "test_lvm_command.py::test_arguments_that_no_command_takes",
            ),
            Edit(
                L + "command:_shell_word",
                "\"'\" in _argument(value) or '\\\\' in value or '#' in value",
                "'\\\\' in value or '#' in value",
                "test_lvm_command.py::test_arguments_that_would_fall_apart_in_the_shell",
            ),
        ),
    ),
    Guard(
        "no uninstall during a rebuild",
        "leave.leave",
        "CONFIRM_ABSENCE",
        "exit code 2 of `carina leave`, so `helm uninstall` refuses",
        (
            Edit(
                F + "leave:_forget",
                "well_known.JOURNAL in logic_volume.meta.annotations",
                "False",
                "test_flows_leave.py::test_a_rebuild_under_way_is_not_left",
            ),
            Edit(
                F + "leave:leave",
                "ctx.state.write(paused=REASON)",
                "ctx.state.read()",
                "test_flows_leave.py::test_the_pause_comes_before_the_look",
            ),
        ),
    ),
    Guard(
        "Carina's own failover is off only when it is denied",
        "carina_failover.carina_failover",
        "",
        "WARN of `carina doctor`, alert",
        (
            Edit(
                D + "carina_failover:_why_not_denied",
                "not policy.bound",
                "False",
                "test_carina_failover.py::test_a_policy_that_denies_less_counts_for_nothing",
            ),
            Edit(
                D + "carina_failover:_why_not_denied",
                "policy.account != account",
                "False",
                "test_carina_failover.py::test_it_is_for_one_account",
            ),
        ),
    ),
    Guard(
        "who enrols is a node worker",
        "enrolment/verdict.py: identify",
        "ENROLMENT_AUDIENCE, ENROLMENT_ACCOUNT",
        "HTTP 401 or 403 with the reason, log, enrolments_total",
        (
            Edit(
                E + "verdict:identify",
                "not review.authenticated",
                "False",
                ENROLMENT + "test_a_token_that_is_not_a_node_workers",
            ),
            Edit(
                E + "verdict:identify",
                "rules.audience not in review.audiences",
                "False",
                ENROLMENT + "test_a_refused_token_makes_no_user",
            ),
            Edit(
                E + "verdict:identify",
                "review.user != rules.user",
                "False",
                ENROLMENT + "test_a_token_that_is_not_a_node_workers",
            ),
            Edit(
                E + "verdict:identify",
                "not pod or not pod_uid",
                "not pod",
                ENROLMENT + "test_a_token_that_is_not_a_node_workers",
            ),
            Edit(
                E + "verdict:node_of_pod",
                "pod is None or pod.uid != found.pod_uid",
                "pod is None",
                ENROLMENT + "test_an_older_api_server_does_not_name_the_node",
            ),
        ),
    ),
    Guard(
        "the node that enrols exists, and is the one of the token",
        "enrolment/verdict.py: admit",
        "",
        "HTTP 403 with the reason, log, enrolments_total",
        (
            Edit(
                E + "verdict:admit",
                "names.node_name(name)",
                "name",
                ENROLMENT + "test_a_node_that_may_not_enrol",
            ),
            Edit(
                E + "verdict:admit",
                "name in RESERVED",
                "False",
                ENROLMENT + "test_a_node_that_may_not_enrol",
            ),
            Edit(
                E + "verdict:admit",
                "found.node_uid and found.node_uid != node.uid",
                "False",
                ENROLMENT + "test_a_node_that_may_not_enrol",
            ),
        ),
    ),
    Guard(
        "a node takes no more of Redis than it may",
        "enrolment/bounds.py: judge; store/answers.py: answer_key",
        "NODE_CONNECTIONS, NODE_MEMORY, CUT_OFF_TIME",
        "user, connections and keys removed, Event, alert",
        (
            Edit(
                E + "bounds:judge",
                "connections > limits.connections",
                "False",
                ENROLMENT + "test_a_flooding_node_is_cut_off",
            ),
            Edit(
                E + "bounds:judge",
                "memory > limits.memory",
                "False",
                ENROLMENT + "test_a_flooding_node_is_cut_off",
            ),
            Edit(
                E + "verdict:not_now",
                "cut_off_for > 0",
                "False",
                ENROLMENT + "test_a_node_that_asks_too_often_waits",
            ),
            Edit(
                E + "service:Enrolment.reconcile",
                "n not in cut_off",
                "True",
                ENROLMENT + "test_an_emptied_redis_is_refilled",
            ),
            Edit(
                S + "answers:answer_key",
                "found[1] if found else task_id",
                "task_id",
                "test_calls.py::test_the_key_is_what_the_acl_allows",
            ),
        ),
    ),
    Guard(
        "no Redis user is removed by a list without nodes",
        "enrolment/service.py: Enrolment.reconcile",
        "",
        "log",
        (
            Edit(
                E + "service:Enrolment.reconcile",
                "known and not nodes",
                "False",
                ENROLMENT + "test_no_user_is_removed_when_no_node_is_listed",
            ),
        ),
    ),
)


def table() -> str:
    """Return the guards as docs/reliability.md shows them."""
    rows = [
        "| guard | function | setting | when it refuses | taken out, this fails |",
        "|---|---|---|---|---|",
    ]
    for guard in GUARDS:
        tests = ", ".join(dict.fromkeys(f"`{edit.test.split('::')[-1]}`" for edit in guard.edits))
        where = (
            ", ".join(f"`{one}`" for one in guard.where.split(", "))
            if ":" not in guard.where
            else guard.where
        )
        settings = ", ".join(
            f"`{one}`" if one.isupper() else one for one in guard.setting.split(", ") if one
        )
        rows.append(f"| {guard.what} | {where} | {settings} | {guard.fires} | {tests} |")
    return "\n".join(rows)
